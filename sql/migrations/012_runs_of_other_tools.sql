-- Runs that other tools measured: what they do not report is NULL; differs says how their definition differs from ours.
ALTER TABLE raw.runs ADD COLUMN source VARCHAR DEFAULT 'shapebench';
ALTER TABLE raw.runs ADD COLUMN source_version VARCHAR;
ALTER TABLE raw.runs ALTER COLUMN seed DROP NOT NULL;
ALTER TABLE raw.levels ALTER COLUMN planned_requests DROP NOT NULL;
ALTER TABLE raw.levels ALTER COLUMN timestamps DROP NOT NULL;
ALTER TABLE raw.levels ALTER COLUMN enforced_output_tokens DROP NOT NULL;
ALTER TABLE raw.levels ALTER COLUMN exact_prompts DROP NOT NULL;
ALTER TABLE raw.levels ALTER COLUMN client DROP NOT NULL;
ALTER TABLE raw.levels ALTER COLUMN wall_s DROP NOT NULL;
ALTER TABLE raw.metrics ADD COLUMN differs VARCHAR;
ALTER TABLE raw.requests ALTER COLUMN stream DROP NOT NULL;
ALTER TABLE raw.requests ALTER COLUMN sent_at DROP NOT NULL;
ALTER TABLE raw.requests ALTER COLUMN chunks DROP NOT NULL;
ALTER TABLE raw.requests ALTER COLUMN planned_input_tokens DROP NOT NULL;
ALTER TABLE raw.requests ALTER COLUMN planned_output_tokens DROP NOT NULL;

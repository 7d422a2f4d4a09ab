-- When an interrupted run was resumed, and which of its levels were given up. Runs of earlier versions have neither.
ALTER TABLE raw.runs ADD COLUMN resumed_at TIMESTAMP[] DEFAULT [];
ALTER TABLE raw.runs ADD COLUMN left_out INTEGER[] DEFAULT [];

-- A run that was broken off goes on: when it did, and which of its levels were given up. Runs of earlier versions never did.
ALTER TABLE raw.runs ADD COLUMN resumed_at TIMESTAMP[] DEFAULT [];
ALTER TABLE raw.runs ADD COLUMN left_out INTEGER[] DEFAULT [];

-- Files of earlier versions lack it: was the request sent again, since the server had closed the kept connection?
ALTER TABLE raw.requests ADD COLUMN IF NOT EXISTS resent BOOLEAN

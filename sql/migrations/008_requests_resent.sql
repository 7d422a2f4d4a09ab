-- Whether the request was sent again, after the server had closed the kept-alive connection.
ALTER TABLE raw.requests ADD COLUMN IF NOT EXISTS resent BOOLEAN

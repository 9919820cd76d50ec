-- 0: it was ended; who, reason and since are those of its end.
ALTER TABLE drains ADD COLUMN is_on INTEGER NOT NULL DEFAULT 1;

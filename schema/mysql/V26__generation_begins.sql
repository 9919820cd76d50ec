INSERT IGNORE INTO generation (one, number, at) VALUES (1, 0, 0)

INSERT IGNORE INTO forgotten (one, sent_before) VALUES (1, 0)

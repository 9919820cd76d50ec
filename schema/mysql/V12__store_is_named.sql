-- Made up here and never changed. MariaDB before 10.10 has no RANDOM_BYTES.
INSERT IGNORE INTO store_id (one, id) VALUES (1, SHA2(CONCAT(UUID(), RAND(), CONNECTION_ID()), 256))

-- Who ended a drain is kept, too. A step that was cut off after it took effect is taken again.
SET @gristmill_step = IF(
    EXISTS (SELECT 1 FROM information_schema.columns
            WHERE table_schema = DATABASE() AND table_name = 'drains' AND column_name = 'is_on'),
    'DO 0',
    'ALTER TABLE drains
         ADD COLUMN is_on TINYINT NOT NULL DEFAULT 1'); -- 0: who, reason and since are those of its end
PREPARE gristmill_step FROM @gristmill_step;
EXECUTE gristmill_step;
DEALLOCATE PREPARE gristmill_step

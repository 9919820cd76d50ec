-- What a claim's holder has done with a job, and the order in which jobs are claimed. A step that
-- was cut off after it took effect is taken again, and there is no IF NOT EXISTS for columns.
SET @gristmill_step = IF(
    EXISTS (SELECT 1 FROM information_schema.columns
            WHERE table_schema = DATABASE() AND table_name = 'jobs' AND column_name = 'told'),
    'DO 0',
    'ALTER TABLE jobs
         ADD COLUMN due_at            BIGINT,                     -- not before this; NULL: due
         ADD COLUMN token             BIGINT   NOT NULL DEFAULT 0, -- how often it was claimed
         ADD COLUMN renewal           BIGINT   NOT NULL DEFAULT 0, -- how often this claim was renewed
         ADD COLUMN holder            VARBINARY(128),             -- who holds it; NULL: nobody
         ADD COLUMN runs              BIGINT   NOT NULL DEFAULT 0, -- how many runs failed
         ADD COLUMN abandons          BIGINT   NOT NULL DEFAULT 0, -- how many claims were abandoned
         ADD COLUMN started_at        BIGINT,                     -- of the latest run
         ADD COLUMN progress_permille BIGINT,                     -- of the latest run
         ADD COLUMN progress_words    BLOB,
         ADD COLUMN told              TINYINT  NOT NULL DEFAULT 0, -- 1: its supervisor knows its final word
         DROP KEY jobs_by_state,
         ADD KEY jobs_by_claim (state, priority_neg, id),
         ADD KEY jobs_by_due (due_at)');
PREPARE gristmill_step FROM @gristmill_step;
EXECUTE gristmill_step;
DEALLOCATE PREPARE gristmill_step

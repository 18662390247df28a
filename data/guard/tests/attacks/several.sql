-- More than one statement, or none.
SELECT 1; SELECT 2
SELECT 1; RESET ROLE
SELECT 1;; SET ROLE {other}
;
COMMIT; SELECT * FROM {other}.secret

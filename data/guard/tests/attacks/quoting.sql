-- Texts that a filter would read differently from the parser.
/* nothing */ RESET ROLE
/* /* nested */ */ RESET ROLE
RE/**/SET ROLE
SELECT 1 /* ; */ ; RESET ROLE
SELECT $$ $$ ; RESET ROLE
SELECT $a$ $$ $a$; SET ROLE {other}
SELECT E'\'; RESET ROLE --'; RESET ROLE
SELECT '\'; RESET ROLE; --'
SELECT 'it''s'; RESET ROLE
SELECT "a""b"; RESET ROLE
SELECT e'\''; RESET ROLE; --'
SELECT U&'\0027'; RESET ROLE
SELECT B'1'; RESET ROLE
sElEcT * fRoM {other}.SECRET
SELECT secret FROM U&"{other}".secret
SELECT*FROM"{other}"."secret"
SELECT * FROM {other} . secret
SELECT * FROM {other}/**/./**/secret
SELECT * FROM {other}.secret*
SELECT * FROM ONLY ({other}.secret)
SELECT * FROM ({other}.secret CROSS JOIN items)
SELECT * FROM terrace.{other}.secret
SELECT ({other}.secret).secret
SELECT {other}.secret.*
SELECT "{other}.secret".secret FROM {other}.secret AS "{other}.secret"
SELECT * FROM {other}.secret AS items
TABLE ONLY {other}.secret
SELECT ALL secret FROM {other}.secret
(SELECT secret FROM {other}.secret)
((TABLE {other}.secret)) LIMIT 1
VALUES ((SELECT secret FROM {other}.secret LIMIT 1))
BEGIN; SELECT 1
END TRANSACTION
ABORT
START TRANSACTION
ROLLBACK AND CHAIN
ROLLBACK TO a
RELEASE SAVEPOINT a
COMMIT PREPARED 'a'
ROLLBACK PREPARED 'a'
BEGIN ISOLATION LEVEL SERIALIZABLE
SELECT 1; SELECT 2; SELECT 3
SELECT 1;RESET ROLE;SELECT secret FROM {other}.secret
COMMIT; RESET ROLE; SELECT secret FROM {other}.secret
RESET ROLE; SELECT secret FROM {other}.secret; SET ROLE {other}
ROLLBACK; BEGIN; SELECT secret FROM {other}.secret
SET ROLE {other}; TABLE {other}.secret
SELECT 1; COPY {other}.secret TO STDOUT
DO $$ BEGIN NULL; END $$; SELECT 1
/* only a comment */

-- Ending the transaction that carries the role.
COMMIT
ROLLBACK
END
COMMIT AND CHAIN
SAVEPOINT a
PREPARE TRANSACTION 'a'
BEGIN

-- Files, programs, other servers, large objects.
COPY items TO PROGRAM 'cat'
COPY items TO STDOUT
COPY items FROM STDIN
COPY (SELECT * FROM {other}.secret) TO STDOUT
SELECT pg_read_file('/etc/passwd')
SELECT pg_ls_dir('.')
SELECT lo_import('/etc/passwd')
SELECT lo_create(0)
SELECT lo_get(1)
SELECT * FROM dblink('dbname=terrace', 'select 1') AS t(a int)

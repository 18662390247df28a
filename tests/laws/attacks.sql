-- One attack a line; `;;` separates statements of one transaction. {foreign} is another tenant's schema.
-- By name.
select * from {foreign}.task
select title from {foreign}.board
select title from "{foreign}"."board"
with x as (select * from {foreign}.board) select * from x
select (select title from {foreign}.board limit 1)
insert into counter (name) select title from {foreign}.board
update {foreign}.board set title = 'x' returning title
delete from {foreign}.task returning title
select * from counter where name in (select title from {foreign}.board)
select * from counter, lateral (select title from {foreign}.board) as b
table {foreign}.board
-- By role.
set role {foreign} ;; select title from board
reset role ;; set role {foreign} ;; select * from board
set local role {foreign} ;; select title from {foreign}.board
set session authorization {foreign}
select set_config('role', '{foreign}', false) ;; select title from {foreign}.board
select pg_catalog.set_config('role', '{foreign}', true)
begin ;; set role {foreign} ;; select title from {foreign}.board
commit ;; set role {foreign} ;; select title from {foreign}.board
rollback ;; reset role ;; select title from {foreign}.board
-- By search path.
set search_path = {foreign} ;; select title from board
set local search_path to {foreign} ;; select title from board
select set_config('search_path', '{foreign}', true) ;; select title from board
-- By text that the server runs.
select query_to_xml('select title from {foreign}.board', true, true, '')
select table_to_xml('{foreign}.board', true, true, '')
select schema_to_xml('{foreign}', true, true, '')
select database_to_xml(true, true, '')
select cursor_to_xml('c', 1, true, true, '')
select * from ts_stat('select to_tsvector(title) from {foreign}.board')
select ts_rewrite('a'::tsquery, 'select title::tsquery, title::tsquery from {foreign}.board')
do $$ begin execute 'set role {foreign}'; end $$ ;; select title from {foreign}.board
create function f() returns text language sql as 'select title from {foreign}.board' ;; select f()
create view v as select * from {foreign}.board ;; select * from v
prepare p as select title from {foreign}.board ;; execute p
declare c cursor for select title from {foreign}.board ;; fetch all from c
explain analyze select title from {foreign}.board
-- By files, copies and other doors.
copy {foreign}.board to stdout
copy (select title from {foreign}.board) to '/dev/stdout'
copy counter from program 'id'
select pg_read_file('/etc/passwd')
select lo_import('/etc/passwd')
select lo_get(oid) from pg_catalog.pg_largeobject_metadata
select * from dblink('dbname=terrace', 'select title from {foreign}.board') as t(title text)
select * from pg_catalog.pg_stat_activity
select * from pg_stats where schemaname = '{foreign}'
select most_common_vals from pg_catalog.pg_stats where tablename = 'board'
select data from terrace_events.log
select * from terrace.tenant
select terrace_events.publish('[]'::jsonb)
select nextval('{foreign}.task_id_seq')
select '{foreign}.board'::regclass
lock table {foreign}.board
truncate {foreign}.board
alter table {foreign}.board owner to current_user
grant select on {foreign}.board to public
select pg_notify('tb', 'x')
listen {foreign}
select pg_advisory_lock(1)
select pg_terminate_backend(pg_backend_pid())
select current_setting('role')
-- Two statements in one text.
select 1; select title from {foreign}.board
select 1; set role {foreign}

-- The roles and tablespaces of everything.sql, which belong to a cluster and not to a
-- database: run on the source's server and on the target's, as a superuser, before
-- either. It may run again. README.md explains the format.

-- @block roles
-- Trap: role names with a quote and a space, with non-ASCII letters, with upper case,
-- and one that is a reserved word behind its prefix.
DO $do$
DECLARE r text;
BEGIN
  FOREACH r IN ARRAY ARRAY[
    'pgmove_test_owner',             -- owns the database in tests without a superuser
    'pgmove_test_alice',
    'pgmove_test_bob',
    'pgmove_test_readers',
    'pgmove_test_Üser 漢字',
    'pgmove_test_"quoted" role''s',
    'pgmove_test_user;DROP ROLE x--',
    -- 63 bytes, the longest name
    'pgmove_test_3456789_123456789_123456789_123456789_123456789_123'
  ] LOOP
    BEGIN
      EXECUTE format('CREATE ROLE %I', r);
    EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
    END;
  END LOOP;
END $do$;

-- The owner of a test's database must be able to give objects to the others.
GRANT pgmove_test_alice, pgmove_test_bob, pgmove_test_readers, "pgmove_test_Üser 漢字",
  "pgmove_test_""quoted"" role's", "pgmove_test_user;DROP ROLE x--",
  "pgmove_test_3456789_123456789_123456789_123456789_123456789_123" TO pgmove_test_owner;

-- Trap: settings of a role, in every database of the cluster. Whoever connects as
-- pgmove_test_owner meets them, on either side.
ALTER ROLE pgmove_test_owner SET DateStyle = 'SQL, DMY';
ALTER ROLE pgmove_test_owner SET IntervalStyle = 'sql_standard';
ALTER ROLE pgmove_test_owner SET TimeZone = 'Asia/Kathmandu';
ALTER ROLE pgmove_test_owner SET extra_float_digits = -10;
ALTER ROLE pgmove_test_owner SET bytea_output = 'escape';
ALTER ROLE pgmove_test_owner SET array_nulls = off;
ALTER ROLE pgmove_test_owner SET statement_timeout = '5s';
ALTER ROLE pgmove_test_owner SET lock_timeout = '3s';
ALTER ROLE pgmove_test_owner SET idle_in_transaction_session_timeout = '2s';
ALTER ROLE pgmove_test_alice SET client_encoding = 'LATIN1';
ALTER ROLE pgmove_test_alice SET standard_conforming_strings = off;

-- @block tablespace
-- @may-exist
-- Trap: tablespaces. The folder exists, is empty and is the server's user's own.
CREATE TABLESPACE "pgmove_test space" LOCATION '@TABLESPACE_DIR@';

-- @block tablespace_acl
GRANT CREATE ON TABLESPACE "pgmove_test space" TO pgmove_test_owner, pgmove_test_alice WITH GRANT OPTION;
COMMENT ON TABLESPACE "pgmove_test space" IS 'it''s a tablespace';

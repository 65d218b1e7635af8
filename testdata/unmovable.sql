-- What no tool can move as it is: for each, a tool must fail and name it, or report a
-- mismatch, and never end in success without a word. Each block is for a database of
-- its own (FixtureOptions.Only). README.md explains the format.

-- @block security_label
-- @superuser
-- @stock-fails SECURITY LABEL: the target has no such label provider
-- Trap: security labels. No provider comes with a distribution's packages, so the label goes into the catalog by hand.
CREATE TABLE labelled (id int, v text);
INSERT INTO labelled VALUES (1, 'v');
INSERT INTO pg_seclabel (objoid, classoid, objsubid, provider, label) VALUES
  ('labelled'::regclass, 'pg_class'::regclass, 0, 'pgmove provider', 'it''s a label'),
  ('labelled'::regclass, 'pg_class'::regclass, 2, 'pgmove provider', 'of a column');

-- @block dirty_foreign_key
-- @superuser
-- @stock-fails ADD CONSTRAINT … FOREIGN KEY
-- Trap: a foreign key that is valid by the catalog and violated by rows, which came while its triggers were off.
CREATE TABLE parent (id int PRIMARY KEY);
CREATE TABLE child (id int PRIMARY KEY, parent int CONSTRAINT dirty REFERENCES parent);
INSERT INTO parent SELECT generate_series(1, 100);
ALTER TABLE child DISABLE TRIGGER ALL;
INSERT INTO child SELECT i, i + 3 FROM generate_series(1, 100) i;
ALTER TABLE child ENABLE TRIGGER ALL;

-- @block duplicate_keys
-- @superuser
-- @stock-fails ADD CONSTRAINT … PRIMARY KEY, CREATE UNIQUE INDEX
-- Trap: keys that are there twice, hidden by an index that doesn't know them.
CREATE TABLE keyed (id int PRIMARY KEY, u text);
CREATE UNIQUE INDEX keyed_u ON keyed (u);
INSERT INTO keyed SELECT i, 'u' || i FROM generate_series(1, 100) i;
UPDATE pg_index SET indisready = false, indisvalid = false WHERE indrelid = 'keyed'::regclass;
INSERT INTO keyed VALUES (50, 'again'), (1000, 'u7');
UPDATE pg_index SET indisready = true, indisvalid = true WHERE indrelid = 'keyed'::regclass;

-- @block dirty_not_null
-- @superuser
-- @stock-fails COPY
-- Trap: NULLs in a column that is NOT NULL.
CREATE TABLE holed (id int, v text);
INSERT INTO holed SELECT i, CASE WHEN i <> 37 THEN 'v' END FROM generate_series(1, 50) i;
UPDATE pg_attribute SET attnotnull = true WHERE attrelid = 'holed'::regclass AND attname = 'v';

-- @block changed_check
-- @stock-fails COPY
-- Trap: a check and a domain whose function was replaced after the rows came: they violate it now.
CREATE FUNCTION right_one(int) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1 > 0';
CREATE TABLE checked (id int CONSTRAINT changed CHECK (right_one(id)));
CREATE DOMAIN right_int AS int CHECK (right_one(VALUE));
CREATE TABLE of_domain (id right_int);
INSERT INTO checked SELECT generate_series(1, 50);
INSERT INTO of_domain SELECT generate_series(1, 50);
CREATE OR REPLACE FUNCTION right_one(int) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1 > 10';

-- @block circular_checks
-- @stock-fails COPY, in either order
-- Trap: two tables whose checks read one another.
CREATE TABLE one (id int);
CREATE TABLE two (id int);
CREATE FUNCTION known_to_one(int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$BEGIN RETURN $1 = 1 OR EXISTS (SELECT FROM public.one WHERE id = $1 - 1); END$$;
CREATE FUNCTION known_to_two(int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$BEGIN RETURN EXISTS (SELECT FROM public.two WHERE id = $1); END$$;
ALTER TABLE one ADD CHECK (known_to_two(id));
ALTER TABLE two ADD CHECK (known_to_one(id));
INSERT INTO two VALUES (1);
INSERT INTO one VALUES (1);
INSERT INTO two VALUES (2);
INSERT INTO one VALUES (2);

-- @block generated_reads_table
-- @stock-fails silently: the values differ, for the table read is loaded later
-- Trap: a stored generated column whose function lies about being immutable and reads another table, one that comes later.
CREATE TABLE z_rates (currency text PRIMARY KEY, rate numeric);
INSERT INTO z_rates VALUES ('eur', 1), ('usd', 1.1);
CREATE FUNCTION rate(text) RETURNS numeric LANGUAGE plpgsql IMMUTABLE AS $$BEGIN RETURN (SELECT rate FROM public.z_rates z WHERE z.currency = $1); END$$;
CREATE TABLE a_prices (id int, currency text, price numeric, in_eur numeric GENERATED ALWAYS AS (price * rate(currency)) STORED);
INSERT INTO a_prices SELECT i, 'usd', i FROM generate_series(1, 20) i;

-- @block generated_changed
-- @stock-fails silently: the values differ, for the target computes them anew
-- Trap: a stored generated column whose function was replaced: the old rows have the old values.
CREATE FUNCTION factor() RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 2';
CREATE TABLE computed (id int, v int GENERATED ALWAYS AS (id * factor()) STORED);
INSERT INTO computed SELECT generate_series(1, 20);
CREATE OR REPLACE FUNCTION factor() RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 3';

-- @block failing_matview
-- @stock-fails REFRESH MATERIALIZED VIEW
-- Trap: a materialized view whose query was right once and fails now; and one over it.
CREATE TABLE divisors (n int);
INSERT INTO divisors VALUES (1), (2);
CREATE MATERIALIZED VIEW failing AS SELECT 100 / n AS q FROM divisors;
CREATE MATERIALIZED VIEW over_failing AS SELECT sum(q) AS s FROM failing;
INSERT INTO divisors VALUES (0);

-- @block foreign_matview
-- @superuser
-- @stock-fails REFRESH MATERIALIZED VIEW: nothing can read the foreign table
-- Trap: a materialized view over a foreign table that can't be reached.
CREATE FOREIGN DATA WRAPPER nothing;
CREATE SERVER nowhere FOREIGN DATA WRAPPER nothing;
CREATE FOREIGN TABLE remote (id int) SERVER nowhere;
CREATE MATERIALIZED VIEW over_remote AS SELECT id FROM remote WITH NO DATA;
UPDATE pg_class SET relispopulated = true WHERE oid = 'over_remote'::regclass;

-- @block failing_index
-- @stock-fails CREATE INDEX
-- Trap: an index whose function was replaced by one that fails.
CREATE FUNCTION key_of(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$BEGIN RETURN $1; END$$;
CREATE TABLE indexed (id int);
INSERT INTO indexed SELECT generate_series(1, 20);
CREATE INDEX by_key ON indexed (key_of(id));
CREATE OR REPLACE FUNCTION key_of(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$BEGIN RETURN 1 / ($1 - 10); END$$;

-- @block name_of_index
-- @stock-fails COPY: the relation doesn't exist yet
-- Trap: rows that name what comes only after the rows: an index, by regclass.
CREATE TABLE indexed (id int PRIMARY KEY);
CREATE TABLE names (c regclass);
INSERT INTO names VALUES ('indexed'), ('indexed_pkey');

-- @block role_in_rows
-- @superuser
-- @stock-fails COPY, where the target's cluster is another
-- Trap: rows that name a role by regrole which only the source's cluster has, for the block makes it.
CREATE ROLE pgmove_test_source_only;
CREATE TABLE names (r regrole);
INSERT INTO names VALUES ('pgmove_test_source_only');

-- @block missing_library
-- @superuser
-- @stock-fails CREATE FUNCTION: the library isn't there
-- Trap: a function in C whose library the target hasn't got.
CREATE FUNCTION in_c() RETURNS trigger LANGUAGE C AS '$libdir/plpgsql', 'plpgsql_call_handler';
UPDATE pg_proc SET probin = '$libdir/pgmove_no_such_library' WHERE oid = 'in_c()'::regprocedure;

-- @block until_13
-- @until 13
-- @stock-fails into 14 and later: CREATE AGGREGATE, CREATE OPERATOR
-- Trap: what 14 did away with: array functions on anyarray, operators after their argument.
CREATE AGGREGATE collect(anyelement) (SFUNC = array_append, STYPE = anyarray, INITCOND = '{}');
CREATE OPERATOR public.!! (PROCEDURE = int4abs, LEFTARG = int);
CREATE VIEW factorial AS SELECT 5 ! AS f;

-- @block until_16
-- @until 16
-- @stock-fails into 17 and later: CREATE VIEW
-- Trap: views over system views and columns that later servers have no longer.
CREATE VIEW over_bgwriter AS SELECT buffers_backend FROM pg_stat_bgwriter;

-- @block database_parameter
-- @until 13
-- @superuser
-- @stock-fails into 14 and later, with --create: ALTER DATABASE
-- Trap: a parameter name that 14 and later refuse.
ALTER DATABASE @DATABASE@ SET "pgmove_test.two words" = 'x';

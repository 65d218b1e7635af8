-- A SQL_ASCII database: bytes that are valid in no one encoding, in rows and in names. Make
-- the database with TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'. This file is
-- ASCII, for a client that says UTF8 may not send others. README.md explains the format.

-- @block sql_ascii
CREATE SCHEMA a;
-- Trap: each byte but NUL, alone and between letters; what is LATIN1, UTF-8, Shift-JIS and EUC; bytes of UTF-8 cut off.
CREATE TABLE a.bytes (i int PRIMARY KEY, v text, c char(2), n name);
INSERT INTO a.bytes SELECT i, chr(i), chr(i), chr(i) FROM generate_series(1, 255) i;
INSERT INTO a.bytes (i, v) SELECT 1000 + i, 'x' || chr(i) || 'y' FROM generate_series(1, 255) i;
INSERT INTO a.bytes (i, v) VALUES (2000, E'caf\xe9'), (2001, E'caf\xc3\xa9'), (2002, E'\xc3'), (2003, E'\xe6\xbc'), (2004, E'\xf0\x9f\x90\x98'),
  (2005, E'\xff\xfe'), (2006, E'\xed\xa0\x80'), (2007, E'\xc0\x80'), (2008, E'\xef\xbb\xbf'),
  -- Shift-JIS and GBK have a backslash as a second byte, and "." or "N" may follow.
  (2009, E'\x83\x5c'), (2010, E'\x83\x5c.'), (2011, E'\x95\x5cN'), (2012, E'\xb5\x5c\n'), (2013, E'\x81\x7c'), (2014, NULL), (2015, '');
-- Trap: names, labels, bodies, defaults, checks and comments of such bytes.
DO $do$ BEGIN
  EXECUTE format('CREATE SCHEMA %I', E'sch\xe9ma');
  EXECUTE format('CREATE TYPE %I.%I AS ENUM (%L, %L, %L)', E'sch\xe9ma', E't\xff', E'\xe9t\xe9', E'\x83\x5c', E'\xc3\xa9');
  EXECUTE format('CREATE TABLE %I.%I (%I int PRIMARY KEY, %I text DEFAULT %L CHECK (%I <> %L), e %I.%I, es %I.%I[])',
    E'sch\xe9ma', E'tab\xfe\x5c', E'c\xff', E'\xc3\xa9', E'd\xe9faut', E'\xc3\xa9', E'\xfc', E'sch\xe9ma', E't\xff', E'sch\xe9ma', E't\xff');
  EXECUTE format('INSERT INTO %I.%I SELECT i, %L, %L, ARRAY[%L, %L]::%I.%I[] FROM generate_series(1, 5) i',
    E'sch\xe9ma', E'tab\xfe\x5c', E'v\x80\x5c', E'\xe9t\xe9', E'\x83\x5c', E'\xc3\xa9', E'sch\xe9ma', E't\xff');
  EXECUTE format('INSERT INTO %I.%I (%I) VALUES (100)', E'sch\xe9ma', E'tab\xfe\x5c', E'c\xff');
  EXECUTE format('COMMENT ON TABLE %I.%I IS %L', E'sch\xe9ma', E'tab\xfe\x5c', E'comment \xe9 \xff \x83\x5c');
  EXECUTE format('CREATE FUNCTION %I.%I() RETURNS text LANGUAGE sql IMMUTABLE AS %L', E'sch\xe9ma', E'f\xe9', E'SELECT ''\xe9\xff''::text');
  EXECUTE format('CREATE VIEW %I.%I AS SELECT %I.%I() AS %I, %L::text AS b', E'sch\xe9ma', E'v\xe9', E'sch\xe9ma', E'f\xe9', E'\xff', E'\x95\x5c');
  EXECUTE format('CREATE MATERIALIZED VIEW %I.%I AS SELECT * FROM %I.%I', E'sch\xe9ma', E'mv\xe9', E'sch\xe9ma', E'v\xe9');
  EXECUTE format('CREATE INDEX %I ON %I.%I (lower(%I)) WHERE %I > %L', E'i\xe9', E'sch\xe9ma', E'tab\xfe\x5c', E'\xc3\xa9', E'\xc3\xa9', E'\x80');
  EXECUTE format('CREATE SEQUENCE %I.%I START 7', E'sch\xe9ma', E's\xe9\x5c');
END $do$;
-- Trap: a partition's bound of such bytes, and a hash of them.
DO $do$ BEGIN
  CREATE TABLE a.by_list (k text) PARTITION BY LIST (k);
  EXECUTE format('CREATE TABLE a.by_list_1 PARTITION OF a.by_list FOR VALUES IN (%L, %L)', E'\xe9', E'\x83\x5c');
  CREATE TABLE a.by_list_2 PARTITION OF a.by_list DEFAULT;
END $do$;
INSERT INTO a.by_list SELECT v FROM a.bytes;
CREATE TABLE a.by_hash (k text) PARTITION BY HASH (k);
CREATE TABLE a.by_hash_0 PARTITION OF a.by_hash FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE a.by_hash_1 PARTITION OF a.by_hash FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO a.by_hash SELECT v FROM a.bytes;
CREATE TABLE a.arrays (t text[], b bytea);
INSERT INTO a.arrays VALUES (ARRAY[E'\xe9', E'\x83\x5c', NULL, E'"\xff,'], '\xff5c');

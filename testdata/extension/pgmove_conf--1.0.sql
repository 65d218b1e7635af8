-- An extension with configuration rows, for the tests of pgmove.

-- All rows are configuration, and the script brings none.
CREATE TABLE settings (name text PRIMARY KEY, value text);
SELECT pg_catalog.pg_extension_config_dump('settings', '');

-- The rows that the user made are configuration; the script brings others. The foreign key
-- is there before the rows are, against the order of the names.
CREATE TABLE rules (id serial PRIMARY KEY, name text NOT NULL, builtin boolean NOT NULL DEFAULT false,
  setting text REFERENCES settings);
INSERT INTO rules (name, builtin) VALUES ('first builtin', true), ('second builtin', true);
SELECT pg_catalog.pg_extension_config_dump('rules', 'WHERE NOT builtin');
SELECT pg_catalog.pg_extension_config_dump('rules_id_seq', '');

-- A sequence of its own.
CREATE SEQUENCE numbers START 100;
SELECT pg_catalog.pg_extension_config_dump('numbers', '');

-- A member whose rows are not configuration: they never travel.
CREATE TABLE not_configuration (v text);

CREATE FUNCTION setting(text) RETURNS text LANGUAGE sql STABLE AS
  'SELECT value FROM @extschema@.settings WHERE name = $1';

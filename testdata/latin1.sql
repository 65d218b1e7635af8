-- A LATIN1 database: names and rows that take one byte a letter there, and two in this
-- file, which is UTF-8 and is sent as such. Make the database with
-- TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'. README.md explains the format.

-- @block latin1
-- Trap: letters beyond ASCII in names of every kind, in bodies, defaults, checks, labels, comments.
CREATE SCHEMA "schéma";
COMMENT ON SCHEMA "schéma" IS 'un schéma: Ä ö ß ÿ';
CREATE TYPE "schéma"."été" AS ENUM ('hiver', 'été', 'Ünter');
CREATE DOMAIN "schéma"."prénom" AS text CHECK (VALUE <> 'André');
CREATE FUNCTION "schéma"."naïve"("argument é" text) RETURNS text LANGUAGE sql IMMUTABLE AS $é$SELECT $1 || 'é' -- ÿ$é$;
CREATE TABLE "schéma"."Élèves" (
  "numéro" int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  "prénom" "schéma"."prénom" DEFAULT 'Zoë' CONSTRAINT "où" CHECK ("prénom" !~ 'ÿÿ'),
  saison "schéma"."été", saisons "schéma"."été"[],
  dit text GENERATED ALWAYS AS ("schéma"."naïve"('ç')) STORED);
COMMENT ON COLUMN "schéma"."Élèves"."prénom" IS 'le prénom de l''élève';
INSERT INTO "schéma"."Élèves" ("prénom", saison, saisons) VALUES (DEFAULT, 'été', '{été,hiver,NULL}'), ('Ådne', 'Ünter', '{}'), (NULL, NULL, NULL);
CREATE INDEX "clé" ON "schéma"."Élèves" (lower("prénom")) WHERE "prénom" > 'à';
CREATE VIEW "schéma"."vue" AS SELECT "prénom" || 'é' AS "é" FROM "schéma"."Élèves";
CREATE MATERIALIZED VIEW "schéma"."matérielle" AS SELECT "prénom", saison FROM "schéma"."Élèves";
-- Trap: each character that the encoding has; those from 128 to 159 are control characters. Sorting by bytes isn't sorting by code in UTF-8's length.
CREATE TABLE "schéma".characters (i int PRIMARY KEY, c text, twice varchar(2));
INSERT INTO "schéma".characters SELECT i, chr(i), chr(i) || chr(i) FROM generate_series(1, 255) i;
-- Trap: a hash and a range by text, whose bytes are not those of UTF-8.
CREATE TABLE "schéma".by_text (k text) PARTITION BY HASH (k);
CREATE TABLE "schéma"."by_text_é0" PARTITION OF "schéma".by_text FOR VALUES WITH (MODULUS 3, REMAINDER 0);
CREATE TABLE "schéma"."by_text_é1" PARTITION OF "schéma".by_text FOR VALUES WITH (MODULUS 3, REMAINDER 1);
CREATE TABLE "schéma"."by_text_é2" PARTITION OF "schéma".by_text FOR VALUES WITH (MODULUS 3, REMAINDER 2);
INSERT INTO "schéma".by_text SELECT c FROM "schéma".characters;
CREATE TABLE "schéma".by_range (k text) PARTITION BY RANGE (k);
CREATE TABLE "schéma".by_range_1 PARTITION OF "schéma".by_range FOR VALUES FROM (MINVALUE) TO ('é');
CREATE TABLE "schéma".by_range_2 PARTITION OF "schéma".by_range FOR VALUES FROM ('é') TO (MAXVALUE);
INSERT INTO "schéma".by_range SELECT c FROM "schéma".characters;
-- Trap: a name of 63 letters is of 63 bytes here, and would be of 126 in UTF-8.
CREATE TABLE "schéma"."ééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééé" (id int);
INSERT INTO "schéma"."ééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééé" VALUES (1);
CREATE TABLE "schéma".other (j jsonb, raw json, x text[], b bytea);
INSERT INTO "schéma".other VALUES ('{"é": "ÿ"}', '{"é": "\u00e9"}', '{é,NULL,"ÿ ,"}', convert_to('é', 'UTF8')), ('"é"', '"\u20ac"', '{}', convert_to('é', 'LATIN1'));
SELECT lo_from_bytea(4242, convert_to('é', 'LATIN1'));
COMMENT ON LARGE OBJECT 4242 IS 'un grand objet: é';

-- The database of the golden archives: some of everything that an archive's format knows. It is
-- never changed: see README.md.
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE TABLE customer (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL, mood mood, "odd
name" numeric(12,2) DEFAULT 0);
CREATE TABLE orders (id bigint PRIMARY KEY, customer int NOT NULL REFERENCES customer, at timestamptz NOT NULL, note text, tags text[]);
CREATE INDEX orders_by_customer ON orders (customer, at);
CREATE TABLE empty (a int);
CREATE TABLE measures (at timestamp, v float8, b bytea) PARTITION BY RANGE (at);
CREATE TABLE measures_2025 PARTITION OF measures FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE measures_other PARTITION OF measures DEFAULT;
CREATE TABLE by_mood (m mood, n int) PARTITION BY HASH (m);
CREATE TABLE by_mood_0 PARTITION OF by_mood FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE by_mood_1 PARTITION OF by_mood FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO customer (name, mood, "odd
name") SELECT 'customer ' || g || E' \t\\ ä 漢字', (ARRAY['sad','ok','happy'])[1 + g % 3]::mood, g / 3.0 FROM generate_series(1, 200) g;
INSERT INTO orders SELECT g, 1 + g % 200, timestamptz '2026-01-01 00:00:00+00' + g * interval '1 minute', repeat('n', g % 50), CASE WHEN g % 7 > 0 THEN ARRAY['a', NULL, g::text] END FROM generate_series(1, 1500) g;
INSERT INTO measures SELECT timestamp '2025-06-01' + g * interval '10 days', CASE g % 5 WHEN 0 THEN 'NaN' WHEN 1 THEN '-0' WHEN 2 THEN 'Infinity' ELSE g / 7.0 END, decode(md5(g::text), 'hex') FROM generate_series(1, 60) g;
INSERT INTO by_mood SELECT (ARRAY['sad','ok','happy'])[1 + g % 3]::mood, g FROM generate_series(1, 30) g;
CREATE VIEW happy AS SELECT id, name FROM customer WHERE mood = 'happy';
CREATE MATERIALIZED VIEW per_customer AS SELECT customer, count(*) AS n FROM orders GROUP BY 1;
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.note := coalesce(NEW.note, ''); RETURN NEW; END $$;
CREATE TRIGGER touch BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION touch();
COMMENT ON TABLE orders IS 'what they bought';
SELECT lo_from_bytea(4711, convert_to(repeat('large ', 60000), 'UTF8'));
SELECT lo_from_bytea(4712, '');

-- The demo's source: a small web shop of about 300,000 rows, with some of
-- everything that most databases have.
CREATE SCHEMA shop;
SET search_path = shop, pg_catalog;

CREATE TYPE order_state AS ENUM ('basket', 'paid', 'sent', 'returned');
CREATE DOMAIN email AS text CHECK (VALUE LIKE '%@%');

CREATE TABLE country (code char(2) PRIMARY KEY, name text NOT NULL UNIQUE);
CREATE TABLE customer (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	email email NOT NULL UNIQUE,
	name text NOT NULL,
	country char(2) NOT NULL REFERENCES country,
	since date NOT NULL,
	settings jsonb NOT NULL DEFAULT '{}');
CREATE TABLE address (
	id serial PRIMARY KEY,
	customer bigint NOT NULL REFERENCES customer ON DELETE CASCADE,
	street text NOT NULL, town text NOT NULL, country char(2) NOT NULL REFERENCES country);
CREATE TABLE category (
	id int PRIMARY KEY, parent int REFERENCES category, name text NOT NULL);
CREATE TABLE product (
	id int PRIMARY KEY,
	category int NOT NULL REFERENCES category,
	name text NOT NULL,
	price numeric(10, 2) NOT NULL CHECK (price > 0),
	with_tax numeric(10, 2) GENERATED ALWAYS AS (round(price * 1.2, 2)) STORED,
	tags text[] NOT NULL, photo bytea);
CREATE TABLE stock (
	product int PRIMARY KEY REFERENCES product, pieces int NOT NULL CHECK (pieces >= 0), counted timestamptz);
CREATE SEQUENCE order_number START 100001 INCREMENT 7;
CREATE TABLE orders (
	number bigint PRIMARY KEY DEFAULT nextval('order_number'),
	customer bigint NOT NULL REFERENCES customer,
	state order_state NOT NULL,
	at timestamptz NOT NULL,
	note text);
CREATE TABLE order_line (
	number bigint NOT NULL REFERENCES orders ON DELETE CASCADE,
	line smallint NOT NULL,
	product int NOT NULL REFERENCES product,
	pieces int NOT NULL, price numeric(10, 2) NOT NULL,
	PRIMARY KEY (number, line));
CREATE TABLE review (
	id serial PRIMARY KEY,
	product int NOT NULL REFERENCES product,
	customer bigint NOT NULL REFERENCES customer,
	stars smallint NOT NULL CHECK (stars BETWEEN 1 AND 5), words text);
CREATE TABLE visit (at timestamptz NOT NULL, customer bigint, page text NOT NULL, took interval)
	PARTITION BY RANGE (at);
CREATE TABLE visit_january PARTITION OF visit FOR VALUES FROM ('2026-01-01 00:00+00') TO ('2026-02-01 00:00+00');
CREATE TABLE visit_february PARTITION OF visit FOR VALUES FROM ('2026-02-01 00:00+00') TO ('2026-03-01 00:00+00');
CREATE TABLE visit_other PARTITION OF visit DEFAULT;

INSERT INTO country VALUES ('AT', 'Österreich'), ('DE', 'Deutschland'), ('FR', 'France'),
	('GR', 'Ελλάδα'), ('JP', '日本'), ('PL', 'Polska'), ('US', 'United States');
INSERT INTO customer (email, name, country, since, settings)
	SELECT 'customer' || g || '@example.com', 'Customer ' || g,
		(ARRAY['AT', 'DE', 'FR', 'GR', 'JP', 'PL', 'US'])[1 + g % 7], date '2020-01-01' + g % 2000,
		jsonb_build_object('newsletter', g % 3 = 0, 'theme', CASE g % 2 WHEN 0 THEN 'dark' ELSE 'light' END)
	FROM generate_series(1, 20000) g;
INSERT INTO address (customer, street, town, country)
	SELECT 1 + g % 20000, g % 300 || E' Main Street\nDoor ' || g % 9, 'Town ' || g % 500, 'AT'
	FROM generate_series(1, 25000) g;
INSERT INTO category SELECT g, CASE WHEN g > 5 THEN 1 + g % 5 END, 'Category ' || g FROM generate_series(1, 60) g;
INSERT INTO product (id, category, name, price, tags, photo)
	SELECT g, 1 + g % 60, 'Product ' || g, 1 + g % 900 + 0.99, ARRAY['tag ' || g % 20, 'ünï', NULL],
		CASE WHEN g % 10 = 0 THEN decode(repeat(md5(g::text), 60), 'hex') END
	FROM generate_series(1, 5000) g;
INSERT INTO stock SELECT g, g * 7 % 400, timestamptz '2026-02-01 08:00+00' FROM generate_series(1, 5000) g;
INSERT INTO orders (customer, state, at, note)
	SELECT 1 + g * 31 % 20000, (ARRAY['basket', 'paid', 'sent', 'sent', 'returned'])[1 + g % 5]::order_state,
		timestamptz '2025-06-01 00:00+00' + g * interval '5 minutes', CASE WHEN g % 9 = 0 THEN 'ring twice' END
	FROM generate_series(1, 50000) g;
INSERT INTO order_line
	SELECT o.number, l, 1 + (o.number * 13 + l) % 5000, 1 + l % 3, 9.99 + l
	FROM orders o, generate_series(1, 2 + (o.number % 2)::int) l;
INSERT INTO review (product, customer, stars, words)
	SELECT 1 + g % 5000, 1 + g * 17 % 20000, 1 + g % 5, repeat('very good ', g % 12) FROM generate_series(1, 15000) g;
INSERT INTO visit
	SELECT timestamptz '2026-01-01 00:00+00' + g * interval '110 seconds', nullif(g % 20001, 0),
		'/product/' || g % 5000, g % 2000 * interval '1 millisecond'
	FROM generate_series(1, 60000) g;

CREATE INDEX ON customer (country, since);
CREATE INDEX ON customer USING gin (settings);
CREATE INDEX ON address (customer);
CREATE INDEX ON product (category) WHERE price > 100;
CREATE INDEX ON product (lower(name));
CREATE INDEX ON orders (customer, at DESC);
CREATE INDEX ON order_line (product) INCLUDE (pieces);
CREATE INDEX ON review (product, stars);
CREATE INDEX ON visit USING brin (at);

CREATE VIEW open_order AS SELECT * FROM orders WHERE state IN ('basket', 'paid');
CREATE MATERIALIZED VIEW best_seller AS
	SELECT product, sum(pieces) AS pieces FROM order_line GROUP BY product ORDER BY 2 DESC, 1 LIMIT 100;
CREATE UNIQUE INDEX ON best_seller (product);
CREATE FUNCTION stock_counted() RETURNS trigger LANGUAGE plpgsql AS
	$$ BEGIN NEW.counted := pg_catalog.now(); RETURN NEW; END $$;
CREATE TRIGGER stock_counted BEFORE UPDATE ON stock FOR EACH ROW EXECUTE FUNCTION stock_counted();
COMMENT ON TABLE orders IS 'what they bought; see also order_line';
SELECT pg_catalog.lo_from_bytea(2026, pg_catalog.convert_to(pg_catalog.repeat('the catalogue, as a large object. ', 20000), 'UTF8'));

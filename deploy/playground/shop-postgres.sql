-- The playground's source: a small web shop, with some of what a move must keep.
CREATE TYPE state AS ENUM ('open', 'paid', 'sent');
CREATE TABLE customer (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	name text NOT NULL,
	email text NOT NULL UNIQUE,
	since date NOT NULL
);
CREATE TABLE product (id serial PRIMARY KEY, name text NOT NULL, price numeric(10, 2) NOT NULL CHECK (price > 0), tags text[]);
CREATE TABLE orders (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	customer bigint NOT NULL REFERENCES customer,
	state state NOT NULL,
	at timestamptz NOT NULL,
	note jsonb
);
CREATE TABLE item (orders bigint REFERENCES orders, product int REFERENCES product, pieces int NOT NULL, PRIMARY KEY (orders, product));
CREATE INDEX ON orders (customer, at);
CREATE INDEX ON product USING gin (tags);

INSERT INTO customer (name, email, since)
SELECT 'Customer ' || g, 'c' || g || '@example.com', date '2020-01-01' + g % 2000 FROM generate_series(1, 20000) g;
INSERT INTO product (name, price, tags)
SELECT 'Product ' || g, 1 + g % 97, ARRAY['tag' || g % 7, 'tag' || g % 11] FROM generate_series(1, 500) g;
INSERT INTO orders (customer, state, at, note)
SELECT 1 + g % 20000, (ARRAY['open', 'paid', 'sent'])[1 + g % 3]::state, timestamptz '2026-01-01 00:00:00+00' + g * interval '1 minute',
	jsonb_build_object('gift', g % 10 = 0) FROM generate_series(1, 200000) g;
INSERT INTO item SELECT o, 1 + (o * 7 + n * 13) % 500, 1 + n FROM generate_series(1, 200000) o, generate_series(0, 1) n;

CREATE VIEW turnover AS SELECT date_trunc('month', at) AS month, sum(pieces * price) AS total
FROM orders JOIN item ON item.orders = orders.id JOIN product ON product.id = item.product GROUP BY 1;
CREATE MATERIALIZED VIEW best AS SELECT product, sum(pieces) AS sold FROM item GROUP BY 1 ORDER BY 2 DESC LIMIT 20;
COMMENT ON TABLE orders IS 'what they bought';

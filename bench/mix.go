package main

import (
	"fmt"
	"strings"
)

// mixSteps are the statements that make the mix: one table with half of all bytes, one
// of wide rows, one of large values, a partitioned one and many small ones, with some
// 310 indexes. The rows depend on the seed and the scale alone.
func mixSteps(o *options) []step {
	m := &mix{seed: o.seed, scale: o.scale}
	m.orders = m.rows(1_300_000)
	m.customers, m.parts, m.suppliers = m.rows(90_000), m.rows(130_000), m.rows(2_000)
	return []step{
		{strings.Join(append([]string{mixTables}, m.smallTables()...), ";\n")},
		m.inserts(),
		m.indexes(),
		m.keys(),
		{mixViews, m.sequences()},
	}
}

type mix struct {
	seed                                int64
	scale                               float64
	orders, customers, parts, suppliers int64
}

// rows scales a number of rows; ten are always there.
func (m *mix) rows(n int64) int64 { return max(10, int64(float64(n)*m.scale)) }

// h is a random number of 63 bits that belongs to row i; the n-th such of the row.
func (m *mix) h(n int64) string {
	return fmt.Sprintf("(pg_catalog.hashint8extended(i, %d) & 9223372036854775807)", m.seed*1000+n)
}

// fill replaces $h1 … $h99 by the row's random numbers.
func (m *mix) fill(sql string) string {
	for n := int64(99); n >= 1; n-- {
		if mark := fmt.Sprintf("$h%d", n); strings.Contains(sql, mark) {
			sql = strings.ReplaceAll(sql, mark, m.h(n))
		}
	}
	return strings.NewReplacer("$orders", fmt.Sprint(m.orders), "$customers", fmt.Sprint(m.customers),
		"$parts", fmt.Sprint(m.parts), "$suppliers", fmt.Sprint(m.suppliers), "$seed", fmt.Sprint(m.seed)).Replace(sql)
}

// insert makes n rows of a table, a range of so many at a time. What more follows the
// rows' numbers may compute something for several columns.
func (m *mix) insert(n, at int64, table, values, more string) []string {
	var out []string
	for lo := int64(1); lo <= n; lo += at {
		out = append(out, m.fill(fmt.Sprintf("INSERT INTO %s SELECT %s FROM generate_series(%d::bigint, %d::bigint) i%s", table, values, lo, min(lo+at-1, n), more)))
	}
	return out
}

const mixTables = `
CREATE SCHEMA shop;
CREATE TABLE shop.lineitem (order_id bigint NOT NULL, line int NOT NULL, part_id int NOT NULL, supplier_id int NOT NULL,
	quantity numeric(12,2) NOT NULL, price numeric(12,2) NOT NULL, discount numeric(12,2) NOT NULL, tax numeric(12,2) NOT NULL,
	flag text NOT NULL, ship_date date NOT NULL, commit_date date NOT NULL, received timestamptz, mode text, comment text);
CREATE TABLE shop.orders (id bigserial, customer_id int NOT NULL, status text NOT NULL, total numeric(12,2) NOT NULL,
	ordered timestamptz NOT NULL, priority text, clerk text, comment text);
CREATE TABLE shop.customer (id serial, name text NOT NULL, address text, nation int, phone text, balance numeric(12,2), segment text, comment text);
CREATE TABLE shop.part (id serial, name text NOT NULL, brand text, type text, size int, price numeric(12,2), added date);
CREATE TABLE shop.supplier (id serial, name text NOT NULL, nation int, phone text, balance numeric(12,2));
CREATE TABLE shop.document (id uuid NOT NULL, title text NOT NULL, body text, attributes jsonb, price numeric, created timestamptz NOT NULL,
	updated timestamp, tags text[], scores int[], words tsvector, active boolean, ratio float8, note text);
CREATE TABLE shop.attachment (id bigserial, name text NOT NULL, kind text, bytes bytea, content text);
ALTER TABLE shop.attachment ALTER bytes SET STORAGE EXTERNAL;
CREATE TABLE shop.event (id bigint NOT NULL, created timestamptz NOT NULL, kind text, account int, amount numeric(12,2), payload text)
	PARTITION BY RANGE (created);
CREATE TABLE shop.event_1 PARTITION OF shop.event FOR VALUES FROM ('2024-01-01') TO ('2024-02-01');
CREATE TABLE shop.event_2 PARTITION OF shop.event FOR VALUES FROM ('2024-02-01') TO ('2024-03-01');
CREATE TABLE shop.event_3 PARTITION OF shop.event FOR VALUES FROM ('2024-03-01') TO ('2024-04-01');
CREATE TABLE shop.event_4 PARTITION OF shop.event FOR VALUES FROM ('2024-04-01') TO ('2024-05-01');
CREATE TABLE shop.event_5 PARTITION OF shop.event FOR VALUES FROM ('2024-05-01') TO ('2024-06-01');
CREATE TABLE shop.event_6 PARTITION OF shop.event FOR VALUES FROM ('2024-06-01') TO ('2024-07-01');
CREATE SEQUENCE shop.invoice; CREATE SEQUENCE shop.ticket START 1000 INCREMENT 10; CREATE SEQUENCE shop.unused;
CREATE SCHEMA ref`

// inserts fills the tables, what takes longest first.
func (m *mix) inserts() step {
	var s step
	add := func(n, at int64, table, values string) { s = append(s, m.insert(n, at, table, values, "")...) }
	add(m.rows(1_700), 100, "shop.attachment", `i, 'file ' || i || '.dat', (ARRAY['image','scan','mail','log'])[1 + $h1 % 4],
		(SELECT string_agg(sha512(int8send(i * 100000 + j + $seed)), ''::bytea ORDER BY j) FROM generate_series(1, (10000 + $h2 % 90000) / 64) j),
		(SELECT string_agg(encode(sha512(int8send(-(i * 100000 + j + $seed))), 'base64'), '' ORDER BY j) FROM generate_series(1, (10000 + $h3 % 90000) / 88) j)`)
	s = append(s, m.insert(m.rows(130_000), 10_000, "shop.document", `md5('document' || i || '$seed')::uuid, 'Title ' || $h1 % 100000, w.body,
		jsonb_build_object('color', (ARRAY['red','green','blue','black'])[1 + $h2 % 4], 'weight', $h3 % 10000 / 10.0, 'size', jsonb_build_array($h4 % 50, $h5 % 50), 'maker', 'm' || $h6 % 500),
		($h7 % 100000000)::numeric / 1000, timestamptz '2020-01-01 UTC' + $h8 % 126230400 * interval '1 second', timestamp '2024-01-01' + $h9 % 31536000 * interval '1 second',
		ARRAY['t' || $h10 % 300, 't' || $h11 % 300, 't' || $h12 % 300], ARRAY[$h13 % 100, $h14 % 100]::int[], to_tsvector('simple'::regconfig, w.body),
		$h15 % 3 = 0, $h16 % 1000000 / 7.0::float8, CASE WHEN $h17 % 4 = 0 THEN md5(i::text) END`,
		`, LATERAL (SELECT string_agg(substr(md5(((hashint8extended(i * 1000 + j, $seed) & 9223372036854775807) % 5000)::text), 1, 7), ' ' ORDER BY j) AS body
			FROM generate_series(1, 30 + i % 30) j) w`)...)
	add(m.orders*4, 100_000, "shop.lineitem", `(i - 1) / 4 + 1, (i - 1) % 4 + 1, 1 + $h1 % $parts, 1 + $h2 % $suppliers, 1 + $h3 % 50, ($h4 % 10000000)::numeric / 100,
		($h5 % 11)::numeric / 100, ($h6 % 9)::numeric / 100, (ARRAY['N','R','A'])[1 + $h7 % 3], date '2020-01-01' + ($h8 % 1461)::int, date '2020-01-01' + ($h9 % 1461)::int,
		timestamptz '2020-01-01 UTC' + $h10 % 126230400 * interval '1 second', (ARRAY['AIR','RAIL','SHIP','TRUCK','MAIL'])[1 + $h11 % 5],
		substr(md5(i || 'l$seed'), 1, (8 + $h12 % 24)::int)`)
	add(m.orders, 100_000, "shop.orders", `i, 1 + $h1 % $customers, (ARRAY['O','F','P'])[1 + $h2 % 3], ($h3 % 50000000)::numeric / 100,
		timestamptz '2020-01-01 UTC' + $h4 % 126230400 * interval '1 second', ($h5 % 5 + 1) || '-PRIORITY', 'Clerk#' || $h6 % 1000, substr(md5(i || 'o$seed'), 1, (8 + $h7 % 24)::int)`)
	add(m.rows(500_000), 100_000, "shop.event", `i, timestamptz '2024-01-01 UTC' + $h1 % (181 * 86400) * interval '1 second', (ARRAY['view','click','buy','leave'])[1 + $h2 % 4],
		$h3 % 10000, ($h4 % 100000)::numeric / 100, md5(i || 'e$seed')`)
	add(m.customers, 100_000, "shop.customer", `i, 'Customer#' || i, md5(i || 'c$seed'), $h1 % 25, '+' || $h2 % 10000000000, ($h3 % 1000000)::numeric / 100, 'S' || $h4 % 5, md5(i || 'd$seed')`)
	add(m.parts, 100_000, "shop.part", `i, 'part ' || substr(md5(i || 'p$seed'), 1, 12), 'Brand#' || $h1 % 25, 'T' || $h2 % 150, $h3 % 50, ($h4 % 200000)::numeric / 100, date '2020-01-01' + ($h5 % 1461)::int`)
	add(m.suppliers, 100_000, "shop.supplier", `i, 'Supplier#' || i, $h1 % 25, '+' || $h2 % 10000000000, ($h3 % 1000000)::numeric / 100`)
	return append(s, m.smallRows()...)
}

// indexes are built after the rows.
func (m *mix) indexes() step {
	s := strings.Split(`ALTER TABLE shop.lineitem ADD PRIMARY KEY (order_id, line)
CREATE INDEX lineitem_part ON shop.lineitem (part_id, supplier_id)
CREATE INDEX lineitem_ship ON shop.lineitem (ship_date)
CREATE INDEX lineitem_received ON shop.lineitem (received)
CREATE INDEX lineitem_returned ON shop.lineitem (commit_date) WHERE flag = 'R'
ALTER TABLE shop.orders ADD PRIMARY KEY (id)
CREATE INDEX orders_customer ON shop.orders (customer_id, ordered)
CREATE INDEX orders_pending ON shop.orders (total) WHERE status = 'P'
CREATE INDEX orders_day ON shop.orders (((ordered AT TIME ZONE 'UTC')::date))
CREATE INDEX document_attributes ON shop.document USING gin (attributes jsonb_path_ops)
CREATE INDEX document_tags ON shop.document USING gin (tags)
CREATE INDEX document_words ON shop.document USING gin (words)
ALTER TABLE shop.document ADD PRIMARY KEY (id)
CREATE INDEX document_created ON shop.document (created)
CREATE INDEX document_title ON shop.document (lower(title))
CREATE INDEX document_active ON shop.document (price, created) WHERE active
ALTER TABLE shop.attachment ADD PRIMARY KEY (id)
CREATE INDEX attachment_name ON shop.attachment (name)
ALTER TABLE shop.event ADD PRIMARY KEY (id, created)
CREATE INDEX event_account ON shop.event (account, created)
CREATE INDEX event_kind ON shop.event (kind)
ALTER TABLE shop.customer ADD PRIMARY KEY (id)
CREATE INDEX customer_name ON shop.customer (lower(name))
CREATE INDEX customer_nation ON shop.customer (nation, segment)
ALTER TABLE shop.part ADD PRIMARY KEY (id)
CREATE UNIQUE INDEX part_name ON shop.part (name, id)
CREATE INDEX part_brand ON shop.part (brand, type)
ALTER TABLE shop.supplier ADD PRIMARY KEY (id)
ALTER TABLE shop.supplier ADD CONSTRAINT supplier_name UNIQUE (name)`, "\n")
	return append(s, m.smallIndexes()...)
}

func (m *mix) keys() step {
	var s step
	for n := 8; n < smallTables; n += 8 {
		s = append(s, fmt.Sprintf("ALTER TABLE ref.r%03d ADD FOREIGN KEY (parent) REFERENCES ref.r%03d (id)", n, n-1))
	}
	return append(s, `ALTER TABLE shop.lineitem ADD FOREIGN KEY (order_id) REFERENCES shop.orders (id);
		ALTER TABLE shop.lineitem ADD FOREIGN KEY (part_id) REFERENCES shop.part (id);
		ALTER TABLE shop.orders ADD FOREIGN KEY (customer_id) REFERENCES shop.customer (id)`)
}

const mixViews = `
CREATE VIEW shop.open_orders AS SELECT o.id, c.name, o.total FROM shop.orders o JOIN shop.customer c ON c.id = o.customer_id WHERE o.status = 'O';
CREATE VIEW shop.revenue AS SELECT l.ship_date, sum(l.price * (1 - l.discount)) AS sum FROM shop.lineitem l GROUP BY 1;
CREATE VIEW shop.revenue_by_year AS SELECT extract(year FROM ship_date) AS year, sum(sum) AS sum FROM shop.revenue GROUP BY 1;
CREATE MATERIALIZED VIEW shop.customer_total AS SELECT customer_id, count(*) AS orders, sum(total) AS total FROM shop.orders GROUP BY 1;
CREATE UNIQUE INDEX customer_total_id ON shop.customer_total (customer_id)`

func (m *mix) sequences() string {
	return m.fill(`SELECT setval('shop.orders_id_seq', $orders), setval('shop.customer_id_seq', $customers), setval('shop.part_id_seq', $parts),
		setval('shop.supplier_id_seq', $suppliers), setval('shop.attachment_id_seq', (SELECT max(id) FROM shop.attachment)), setval('shop.invoice', 4711), setval('shop.ticket', 2000, false)`)
}

-- The playground's MariaDB: the same small web shop, in its words.
CREATE TABLE customer (
	id bigint AUTO_INCREMENT PRIMARY KEY,
	name varchar(100) NOT NULL,
	email varchar(100) NOT NULL UNIQUE,
	since date NOT NULL
);
CREATE TABLE orders (
	id bigint AUTO_INCREMENT PRIMARY KEY,
	customer bigint NOT NULL,
	state enum('open', 'paid', 'sent') NOT NULL,
	at timestamp NOT NULL DEFAULT current_timestamp,
	total decimal(10, 2) NOT NULL,
	KEY by_customer (customer, at),
	FOREIGN KEY (customer) REFERENCES customer (id)
);
INSERT INTO customer (name, email, since)
SELECT concat('Customer ', seq), concat('c', seq, '@example.com'), date_add('2020-01-01', INTERVAL seq % 2000 DAY) FROM seq_1_to_20000;
INSERT INTO orders (customer, state, at, total)
SELECT 1 + seq % 20000, elt(1 + seq % 3, 'open', 'paid', 'sent'), date_add('2026-01-02', INTERVAL seq MINUTE), 1 + seq % 977 / 10 FROM seq_1_to_100000;
CREATE VIEW turnover AS SELECT date_format(at, '%Y-%m') AS month, sum(total) AS total FROM orders GROUP BY 1;

-- An Oracle MySQL database (8.4 or 9) with what MariaDB doesn't have, or has otherwise, and with what got lost or
-- changed on the way from one server to another. TestOracleMySQL (build tag oraclemysql) loads it as one text of many statements (no DELIMITER).

SET NAMES utf8mb4;
SET time_zone = '+00:00';
SET sql_mode = 'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES';
SET foreign_key_checks = 0;
SET sql_generate_invisible_primary_key = OFF;
SET cte_max_recursion_depth = 100000;
ALTER DATABASE CHARACTER SET = utf8mb4 COLLATE = utf8mb4_0900_as_cs;
CREATE TABLE n (n int PRIMARY KEY);
INSERT INTO n WITH RECURSIVE r AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM r WHERE i < 3000) SELECT i FROM r;

-- Every type, with its limits.
CREATE TABLE all_types (
  id int NOT NULL AUTO_INCREMENT,
  ti tinyint, tu tinyint unsigned, si smallint, mi mediumint unsigned, bi bigint, bu bigint unsigned, zf int(7) unsigned zerofill,
  de decimal(65,30), d0 decimal(10,0), dz decimal(12,3) unsigned zerofill, f float, fd float(9,3), fu float unsigned, d double, dd double(20,4),
  b1 bit(1), b20 bit(20), b64 bit(64), bo boolean,
  da date, dt datetime, dt6 datetime(6), ts timestamp NULL, ts6 timestamp(6) NULL, tm time, tm6 time(6), ye year,
  ch char(10), vc varchar(200), tt tinytext, tx text, mt mediumtext, lt longtext,
  bn binary(5), vb varbinary(300), tb tinyblob, bl blob, mb mediumblob, lb longblob,
  en enum('one','two','it''s','a,b','back\\slash'), se set('x','y','z;','ü') CHARACTER SET utf8mb4,
  js json, ge geometry, po point, pg polygon,
  PRIMARY KEY (id)
) COMMENT='every type; it''s "quoted", `ticked`, (bracketed), with a \\ and a\nnew line';
INSERT INTO all_types (id) VALUES (1);
INSERT INTO all_types VALUES (2,-128,0,-32768,0,-9223372036854775808,0,0,
  -99999999999999999999999999999999999.999999999999999999999999999999,-9999999999,0,-3.402823466e38,-999999.999,0,-1.7976931348623157e308,-9999999999999999.9999,
  b'0',b'0',b'0',false,'0000-00-00','0000-00-00 00:00:00','0000-00-00 00:00:00.000000','0000-00-00 00:00:00','0000-00-00 00:00:00','-838:59:59','-838:59:59.000000',0,
  '','','','','','','','','','','','','','','{}',POINT(0,0),POINT(-1e308,1e-308),NULL);
INSERT INTO all_types VALUES (3,127,255,32767,16777215,9223372036854775807,18446744073709551615,42,
  99999999999999999999999999999999999.999999999999999999999999999999,9999999999,12.5,3.402823466e38,999999.999,1.17549435e-38,2.2250738585072014e-308,9999999999999999.9999,
  b'1',b'10000000000000000001',b'1111111111111111111111111111111111111111111111111111111111111111',true,'9999-12-31','9999-12-31 23:59:59','9999-12-31 23:59:59.999999',
  '2038-01-19 03:14:07','2038-01-19 03:14:07.999999','838:59:59','838:59:58.999999',2155,
  'trailing','é😀 and spaces   ','t\tab','new\nline','carriage\rreturn','back\\slash \\N \\. NULL',
  'a\0b\0\0',UNHEX('00010203040506070809'),UNHEX('0A0D1A225C275C4E'),'\\N',UNHEX('FFFE00C3'),UNHEX('F0'),
  'it''s','x,ü','{"a":[1,2.50,"\\u00e9\\n"],"b":null}',
  ST_GeomFromText('GEOMETRYCOLLECTION(POINT(1 2),LINESTRING(0 0,1 1,2 5))', 4326),POINT(1.1,2.2),ST_GeomFromText('POLYGON((0 0,10 0,10 10,0 0),(1 1,2 1,2 2,1 1))'));
INSERT IGNORE INTO all_types (id, f, d, da, dt, ts, tm, ye, en, se) VALUES
  (4, 3.14159265, 0.1, '2024-02-31', '2024-00-10 00:00:00', '2024-03-31 01:30:00', '00:00:00', 1901, 'a,b', 'z;'),
  (5, 1e-45, 5e-324, '1000-01-01', '0001-01-01 00:00:00', '1970-01-01 00:00:01', '-00:00:01', 2000, 'back\\slash', 'x,y,z;,ü'),
  (6, 16777217, 9007199254740993, '2024-12-00', '2024-10-27 01:00:00', '2024-10-27 01:00:00', '24:00:01', 1999, 0, 0),
  (-7, 0.1, 1e22, NULL, NULL, NULL, NULL, NULL, '', ''),
  (0, -0.0, -0.0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
CREATE TABLE floats (id int PRIMARY KEY, f float, d double);
INSERT INTO floats SELECT n, (RAND(n) - 0.5) * POW(10, FLOOR(RAND(n + 100000) * 70) - 35), (RAND(n + 1) - 0.5) * POW(10, FLOOR(RAND(n + 200000) * 600) - 300) FROM n WHERE n <= 2000;
CREATE TABLE bytes (id int PRIMARY KEY, b varbinary(600), c blob, l varchar(600) CHARACTER SET latin1);
INSERT INTO bytes SELECT n - 1, UNHEX(LPAD(HEX(n - 1), 2, '0')), UNHEX(CONCAT('F0', LPAD(HEX(n - 1), 2, '0'), 'E4')), CONVERT(UNHEX(LPAD(HEX(n - 1), 2, '0')) USING latin1) FROM n WHERE n <= 256;
CREATE TABLE vectors (id int PRIMARY KEY, v vector(3), w vector);
INSERT INTO vectors VALUES (1, STRING_TO_VECTOR('[1.5,-2,3e-38]'), NULL), (2, STRING_TO_VECTOR('[0.1,0.2,-0.0]'), STRING_TO_VECTOR('[9,8,7,6]')), (3, UNHEX('0A5C090D5C4E0A5C000A0D09'), NULL);

-- JSON is binary here: key order, numbers of all kinds.
CREATE TABLE documents (id int PRIMARY KEY, j json, k json DEFAULT (JSON_ARRAY('ü', 1)), zip json, tag varchar(20) GENERATED ALWAYS AS (j->>'$.tag') VIRTUAL,
  KEY zips ((CAST(zip->'$' AS UNSIGNED ARRAY))), KEY pair (tag, (CAST(zip->'$' AS UNSIGNED ARRAY))), KEY tag (tag),
  CONSTRAINT small CHECK (JSON_LENGTH(zip) < 10) NOT ENFORCED);
INSERT INTO documents (id, j, zip) VALUES (1, '{"b":1,"a":2,"aa":3,"tag":"x\\ty"}', '[1,2,3]'), (2, '[9223372036854775807,18446744073709551615,-9223372036854775808,0]', NULL);
INSERT INTO documents (id, j, k, zip) VALUES (4, '[1.0,-0.0,1e22,0.1,1.7976931348623157e308,5e-324,12345678901234567890123,100000000000000000000.5]', 'null', '[7]'),
  (5, '"é😀\\u0000\\n\\\\ \\" /"', '{"":{"":[]},"a\\nb":null}', '[18446744073709551615]'), (6, NULL, NULL, NULL), (7, 'true', '""', '[]');

-- Columns and keys that only MySQL knows.
CREATE TABLE keys_of_all_kinds (
  id int NOT NULL AUTO_INCREMENT, a int, b varchar(30) COLLATE utf8mb4_0900_ai_ci, c varchar(30) CHARACTER SET utf8mb4 COLLATE utf8mb4_ja_0900_as_cs_ks, h int /*!80023 INVISIBLE */ DEFAULT 7, t text,
  p point NOT NULL SRID 4326, q geometry SRID 0, f date DEFAULT (CURRENT_DATE + INTERVAL 1 YEAR), u binary(16) DEFAULT (UUID_TO_BIN('123e4567-e89b-12d3-a456-426655440000')), ge json DEFAULT (JSON_OBJECT('a,b', ')')),
  s varchar(80) GENERATED ALWAYS AS (CONCAT(b, '), (', a)) STORED, v int GENERATED ALWAYS AS (a * 2) VIRTUAL INVISIBLE,
  PRIMARY KEY (id), KEY functional ((a + 1), b), UNIQUE KEY low ((LOWER(b)), id), KEY hidden (c) INVISIBLE, KEY down (a DESC, b ASC), KEY prefix (t(20) DESC), SPATIAL KEY sp (p), FULLTEXT KEY ft (t), FULLTEXT KEY ng (t) WITH PARSER ngram,
  KEY on_s (s), KEY on_v (v) COMMENT 'it''s, (here)',
  CONSTRAINT `a ck, (1)` CHECK (a > -100 AND b <> 'a'')'), CONSTRAINT never CHECK (a < 0) NOT ENFORCED, CHECK (h >= 0)
) COLLATE utf8mb4_bin;
INSERT INTO keys_of_all_kinds (a, b, c, h, t, p, q) SELECT n, CONCAT('Ä ', n), CONCAT('か', n), IF(n % 5, n, NULL), CONCAT('the quick brown fox ', n), ST_SRID(POINT(n / 100, -n / 100), 4326), POINT(n, 1e300) FROM n WHERE n <= 300;
SET sql_generate_invisible_primary_key = ON;
CREATE TABLE generated_key (a int, b varchar(20)) AUTO_INCREMENT=500;
INSERT INTO generated_key SELECT n % 7, 'twice' FROM n WHERE n <= 2500;
SET sql_generate_invisible_primary_key = OFF;
CREATE TABLE no_key (a int, b varchar(20));
INSERT INTO no_key SELECT n % 7, 'twice' FROM n WHERE n <= 500;
CREATE TABLE composite (a int NOT NULL, b varchar(20) CHARACTER SET latin1 COLLATE latin1_swedish_ci NOT NULL, c datetime(3) NOT NULL, v int, PRIMARY KEY (a, b, c), KEY v (v), KEY bc (b, c DESC)) DEFAULT CHARSET=latin1;
INSERT INTO composite SELECT n % 3, CONCAT(CHAR(65 + n % 50), 'ä ''\\', n % 11), '2026-01-01' + INTERVAL n SECOND, n FROM n WHERE n <= 2500;
CREATE TABLE string_key (k varchar(60) COLLATE utf8mb4_0900_ai_ci NOT NULL, v text, PRIMARY KEY (k DESC));
INSERT INTO string_key SELECT CONCAT(ELT(n % 8 + 1, 'Ä', 'a', 'ß', 'Z', '😀', '_', '\\', ''''), n), REPEAT('x', n % 300) FROM n;
CREATE TABLE pad_key (k varchar(20) COLLATE utf8mb4_0900_bin NOT NULL PRIMARY KEY);
INSERT INTO pad_key VALUES (''), (' '), ('  '), ('a'), ('a '), ('A');
CREATE TABLE binary_key (k varbinary(16) PRIMARY KEY, v int);
INSERT INTO binary_key SELECT UNHEX(LEFT(SHA2(n, 256), 32)), n FROM n WHERE n <= 2000;
CREATE TABLE unique_only (u bigint unsigned NOT NULL, n int, v varchar(10), UNIQUE KEY u (u), UNIQUE KEY n (n), KEY v (v));
INSERT INTO unique_only SELECT n * CAST(6148914691236517 AS UNSIGNED), IF(n % 9, n, NULL), 'v' FROM n WHERE n <= 2500;
CREATE TABLE enum_key (e enum('z','a','m') NOT NULL, n int NOT NULL, PRIMARY KEY (e, n));
INSERT INTO enum_key SELECT n % 3 + 1, n FROM n WHERE n <= 300;
CREATE TABLE auto_second (grp int NOT NULL, id int unsigned NOT NULL AUTO_INCREMENT, a int, PRIMARY KEY (grp, id), UNIQUE KEY a_first (a), KEY by_id (id), KEY later (a, grp)) AUTO_INCREMENT=5000;
INSERT INTO auto_second VALUES (1, 1, 1), (1, 2, NULL), (2, 77, 3);
CREATE TABLE auto_max (id bigint unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY);
INSERT INTO auto_max VALUES (0), (18446744073709551613);
CREATE TABLE empty_auto (id int NOT NULL AUTO_INCREMENT PRIMARY KEY) AUTO_INCREMENT=1000;
CREATE TABLE empty_table (a int);
CREATE TABLE one_empty (s varchar(5));
INSERT INTO one_empty VALUES (''), (NULL), (''), ('\\N');
CREATE TABLE all_generated (a int AS (1) VIRTUAL);
INSERT INTO all_generated VALUES (), ();
CREATE TABLE enums (id int PRIMARY KEY, u2 enum('日','本','0','b\\c') CHARACTER SET utf16, e2 enum('','0','00'), s2 set('','p','q'), ko set('я','ю') CHARACTER SET koi8r, gb varchar(20) CHARACTER SET gb18030, sj varchar(20) CHARACTER SET sjis);
INSERT INTO enums VALUES (1, '日', '', '', 'я,ю', '中文\\', '日本\\'), (2, 'b\\c', '0', 'p', '', '㐀', '\\表示');
INSERT IGNORE INTO enums (id, u2, e2, s2) VALUES (3, 0, 0, ''), (4, '0', '00', 1), (5, NULL, NULL, 3);
CREATE TABLE defaults (id int DEFAULT 0, a varchar(30) DEFAULT 'üñí \\ '' "', b varchar(30) CHARACTER SET latin1 DEFAULT 'ä', c binary(3) DEFAULT 'a\0b', d bit(3) DEFAULT b'101', e datetime(3) DEFAULT CURRENT_TIMESTAMP(3) ON UPDATE CURRENT_TIMESTAMP(3), f double DEFAULT 1e10, g enum('a','b') DEFAULT 'b', h text DEFAULT ('😀'), i int NOT NULL, j timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP, k int DEFAULT (`i` + 1), l int NULL DEFAULT NULL) STATS_PERSISTENT=0 AUTOEXTEND_SIZE=4M;
INSERT INTO defaults (id, i, e, j) VALUES (1, 2, '2020-01-01', '2020-01-01');
CREATE TABLE squeezed (id int PRIMARY KEY, t text) ROW_FORMAT=COMPRESSED KEY_BLOCK_SIZE=8;
INSERT INTO squeezed SELECT n, REPEAT('s', n) FROM n WHERE n <= 100;
CREATE TABLE punched (id int PRIMARY KEY, t text) COMPRESSION='zlib' ROW_FORMAT=DYNAMIC;
INSERT INTO punched SELECT n, REPEAT('p', n) FROM n WHERE n <= 100;
CREATE TABLE redundant (id int PRIMARY KEY, t text) ROW_FORMAT=REDUNDANT COMMENT='AUTO_INCREMENT=7 ) ENGINE=x';
CREATE TABLE isam (id int NOT NULL AUTO_INCREMENT, grp int NOT NULL, t text, PRIMARY KEY (grp, id), FULLTEXT KEY t (t)) ENGINE=MyISAM;
INSERT INTO isam (grp, t) SELECT n % 3, 'my isam' FROM n WHERE n <= 100;
CREATE TABLE heap (id int PRIMARY KEY, KEY (id)) ENGINE=MEMORY;
INSERT INTO heap VALUES (1), (2);
CREATE TABLE histogram (id int PRIMARY KEY, v int);
INSERT INTO histogram SELECT n, n % 10 FROM n WHERE n <= 200;
ANALYZE TABLE histogram UPDATE HISTOGRAM ON v WITH 10 BUCKETS;

-- Names.
CREATE TABLE `we ird.t@b``,(x)` (`or``der` int PRIMARY KEY, `se lect` int, `a,b` varchar(10) DEFAULT 'it''s, (ok)' COMMENT 'KEY `x` (`y`), CONSTRAINT',
  `PRIMARY KEY (z)` int, KEY `i``dx (1)` (`se lect`, `a,b`)) COMMENT='AUTO_INCREMENT=7 ) ENGINE=x';
INSERT INTO `we ird.t@b``,(x)` VALUES (1, 2, 'x', 3), (2, NULL, NULL, NULL);
CREATE TABLE `Tabelle_äöü_日本` (`spalte_ß` int PRIMARY KEY, `select` int);
INSERT INTO `Tabelle_äöü_日本` VALUES (1, 1);
CREATE TABLE `table` (`key` int PRIMARY KEY, `check` varchar(20) CHECK (`check` <> 'no)'));
CREATE TABLE `..%2f..` (`@` int, `%s` int, ` lead` int, `\n` int);
INSERT INTO `..%2f..` VALUES (1, 2, 3, 4);

-- Partitions and foreign keys.
CREATE TABLE by_range (id int NOT NULL, at date NOT NULL, v varchar(10), PRIMARY KEY (id, at), KEY v (v))
  PARTITION BY RANGE (YEAR(at)) SUBPARTITION BY HASH (id) SUBPARTITIONS 2 (PARTITION p0 VALUES LESS THAN (2020), PARTITION p1 VALUES LESS THAN (2025) COMMENT = 'AUTO_INCREMENT=3', PARTITION pm VALUES LESS THAN MAXVALUE);
INSERT INTO by_range SELECT n, '2018-01-01' + INTERVAL n DAY, 'v' FROM n;
CREATE TABLE by_list (k varchar(5) COLLATE utf8mb4_0900_as_cs NOT NULL, n int AUTO_INCREMENT, KEY (n)) PARTITION BY LIST COLUMNS (k) (PARTITION a VALUES IN ('a', 'b'), PARTITION d VALUES IN ('ü', 'zzz'));
INSERT INTO by_list (k) VALUES ('a'), ('b'), ('zzz'), ('ü');
CREATE TABLE by_key (id int PRIMARY KEY) PARTITION BY KEY (id) PARTITIONS 3;
INSERT INTO by_key SELECT n FROM n WHERE n <= 50;
CREATE TABLE tree (id int PRIMARY KEY, parent int, CONSTRAINT own FOREIGN KEY (parent) REFERENCES tree (id) ON DELETE SET NULL ON UPDATE CASCADE);
INSERT INTO tree VALUES (1, NULL), (2, 1), (3, 2), (4, 9999);
CREATE TABLE hen (id int PRIMARY KEY, egg int, FOREIGN KEY (egg) REFERENCES egg (id));
CREATE TABLE egg (id int PRIMARY KEY, hen int NOT NULL, UNIQUE KEY hen (hen, id), CONSTRAINT laid FOREIGN KEY (hen) REFERENCES hen (id) ON DELETE CASCADE);
INSERT INTO hen VALUES (1, 1), (2, NULL);
INSERT INTO egg VALUES (1, 1), (2, 1);
CREATE TABLE pair (a int, b int, c int, KEY c (c), CONSTRAINT `two, (cols)` FOREIGN KEY (a, b) REFERENCES egg (hen, id));
INSERT INTO pair VALUES (1, 2, 3), (NULL, 5, 6);

-- Programs. Names that sort against their dependencies.
CREATE FUNCTION twice(x int) RETURNS int DETERMINISTIC RETURN x * 2;
CREATE DEFINER=`no body`@`%` FUNCTION `odd ``name`(x varchar(20) CHARACTER SET latin1) RETURNS varchar(100) CHARACTER SET utf8mb4 DETERMINISTIC SQL SECURITY INVOKER COMMENT 'it''s; DEFINER=x'
BEGIN
  -- a comment; with a semicolon
  DECLARE s varchar(50) DEFAULT 'ü;\n''';
  IF x IS NULL THEN
    SET s = 'null';
  END IF;
  RETURN CONCAT(s, x);
END;
CREATE PROCEDURE fill(IN n int, OUT done int) MODIFIES SQL DATA
BEGIN
  DECLARE i int DEFAULT 0;
  WHILE i < n DO
    INSERT INTO empty_table VALUES (i);
    SET i = i + 1;
  END WHILE;
  SET done = i;
END;
SET sql_mode = 'ANSI_QUOTES,PIPES_AS_CONCAT,NO_BACKSLASH_ESCAPES';
CREATE PROCEDURE "ansi"() SELECT "a" || '\' FROM no_key;
SET sql_mode = 'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES';
CREATE VIEW z_base AS SELECT id, ti + 1 AS next, 'ü😀' AS word FROM all_types;
CREATE VIEW m_middle (`i d`, four) AS SELECT z.id, twice(z.next) FROM z_base z JOIN no_key `a_top` ON a_top.a = z.id;
CREATE ALGORITHM=TEMPTABLE SQL SECURITY INVOKER VIEW a_top AS SELECT four, (SELECT COUNT(*) FROM tree WHERE id IN (SELECT `i d` FROM m_middle)) AS n FROM m_middle GROUP BY four;
CREATE DEFINER=`no body`@`%` VIEW `v .``iew` AS SELECT `or``der` AS `x``y` FROM `we ird.t@b``,(x)` WHERE `se lect` > 0 WITH CASCADED CHECK OPTION;
CREATE VIEW with_cte AS WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 5) SELECT n, n IN (SELECT id FROM z_base) AS has FROM r UNION SELECT a, b FROM pair;
CREATE VIEW lateral_view AS SELECT t.id, x.m, j.v FROM tree t, LATERAL (SELECT MAX(c) AS m FROM pair WHERE a = t.id) x, JSON_TABLE('[1,2]', '$[*]' COLUMNS (v int PATH '$')) j;
CREATE VIEW a_comma AS SELECT z_base.id FROM z_base, m_middle, (a_top) WHERE z_base.id = m_middle.`i d`;
CREATE TABLE empty_pairs (a int, b int);
CREATE VIEW windowed AS SELECT id, ROW_NUMBER() OVER w AS r FROM tree WINDOW w AS (ORDER BY id) UNION SELECT a, b FROM pair;
CREATE TABLE audit (n int NOT NULL AUTO_INCREMENT PRIMARY KEY, what varchar(100));
CREATE TRIGGER z_first BEFORE INSERT ON pair FOR EACH ROW SET NEW.c = NEW.c + 1;
CREATE TRIGGER a_second BEFORE INSERT ON pair FOR EACH ROW FOLLOWS z_first BEGIN SET NEW.c = NEW.c * 2; INSERT INTO audit (what) VALUES ('pair; ü'); END;
CREATE DEFINER=`no body`@`%` TRIGGER m_between BEFORE INSERT ON pair FOR EACH ROW PRECEDES a_second SET NEW.c = NEW.c - 1;
CREATE TRIGGER on_types AFTER UPDATE ON all_types FOR EACH ROW INSERT INTO audit (what) VALUES (OLD.id);
CREATE EVENT never ON SCHEDULE EVERY 1 DAY STARTS '2037-01-01 00:00:00' ON COMPLETION PRESERVE DISABLE COMMENT 'it''s' DO BEGIN DELETE FROM audit; DELETE FROM no_key; END;
SET time_zone = '+05:00';
CREATE DEFINER=`no body`@`%` EVENT `far off` ON SCHEDULE AT '2037-06-01 12:00:00' DO DELETE FROM audit;
SET time_zone = '+00:00';

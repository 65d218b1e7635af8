-- A MariaDB database with all that has been known to get lost or changed on the way from one server to another.
-- internal/testbed loads it as one text of many statements (no DELIMITER), under any sql_mode.

SET NAMES utf8mb4;
SET time_zone = '+00:00';
SET sql_mode = 'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES';
SET foreign_key_checks = 0;
SET check_constraint_checks = 1;
ALTER DATABASE CHARACTER SET = utf8mb3 COLLATE = utf8mb3_unicode_ci;

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
  js json, i6 inet6, i4 inet4, uu uuid,
  ge geometry, po point, pg polygon,
  PRIMARY KEY (id)
) DEFAULT CHARSET=utf8mb4 COMMENT='every type; it''s "quoted", `ticked`, (bracketed), with a \\ and a\nnew line';
INSERT INTO all_types (id) VALUES (1);
INSERT INTO all_types VALUES (2,-128,0,-32768,0,-9223372036854775808,0,0,
  -99999999999999999999999999999999999.999999999999999999999999999999,-9999999999,0,-3.402823466e38,-999999.999,0,-1.7976931348623157e308,-9999999999999999.9999,
  b'0',b'0',b'0',false,'0000-00-00','0000-00-00 00:00:00','0000-00-00 00:00:00.000000','0000-00-00 00:00:00','0000-00-00 00:00:00','-838:59:59','-838:59:59.999999',0,
  '','','','','','','','','','','','','','',
  '{}','::','0.0.0.0','00000000-0000-0000-0000-000000000000',POINT(0,0),POINT(-1e308,1e-308),NULL);
INSERT INTO all_types VALUES (3,127,255,32767,16777215,9223372036854775807,18446744073709551615,42,
  99999999999999999999999999999999999.999999999999999999999999999999,9999999999,12.5,3.402823466e38,999999.999,1.17549435e-38,2.2250738585072014e-308,9999999999999999.9999,
  b'1',b'10000000000000000001',b'1111111111111111111111111111111111111111111111111111111111111111',true,'9999-12-31','9999-12-31 23:59:59','9999-12-31 23:59:59.999999',
  '2038-01-19 03:14:07','2038-01-19 03:14:07.999999','838:59:59','838:59:59.999999',2155,
  'trailing','é😀 and spaces   ','t\tab','new\nline','carriage\rreturn','back\\slash \\N \\. NULL',
  'a\0b\0\0',UNHEX('00010203040506070809'),UNHEX('0A0D1A225C275C4E'),'\\N',UNHEX('FFFE00C3'),UNHEX('F0'),
  'it''s','x,ü','{"a":[1,2.50,"\\u00e9\\n"],"b":null}','2001:db8::ff00:42:8329','255.255.255.255','123e4567-e89b-12d3-a456-426655440000',
  ST_GeomFromText('GEOMETRYCOLLECTION(POINT(1 2),LINESTRING(0 0,1 1,2 5))', 4326),POINT(1.1,2.2),ST_GeomFromText('POLYGON((0 0,10 0,10 10,0 0),(1 1,2 1,2 2,1 1))'));
INSERT INTO all_types (id, f, d, da, dt, ts, tm, ye, en, se) VALUES
  (4, 3.14159265, 0.1, '2024-02-31', '2024-00-10 00:00:00', '2024-03-31 01:30:00', '00:00:00', 1901, 'a,b', 'z;'),
  (5, 1e-45, 5e-324, '1000-01-01', '0001-01-01 00:00:00', '1970-01-01 00:00:01', '-00:00:01', 2000, 'back\\slash', 'x,y,z;,ü'),
  (6, 16777217, 9007199254740993, '2024-12-00', '2024-10-27 01:00:00', '2024-10-27 01:00:00', '24:00:01', 1999, 0, 0),
  (-7, 0.1, 1e22, NULL, NULL, NULL, NULL, NULL, '', ''),
  (0, -0.0, 123456789012345680, NULL, NULL, NULL, NULL, NULL, NULL, NULL);

-- Each byte, alone and after a multi-byte character's first one, and all of them at once.
CREATE TABLE bytes (id int PRIMARY KEY, b varbinary(600), c blob, l varchar(600) CHARACTER SET latin1);
INSERT INTO bytes SELECT seq, UNHEX(LPAD(HEX(seq), 2, '0')), UNHEX(CONCAT('F0', LPAD(HEX(seq), 2, '0'), 'E4', LPAD(HEX(seq), 2, '0'))), CONVERT(UNHEX(LPAD(HEX(seq), 2, '0')) USING latin1) FROM seq_0_to_255;
SET SESSION group_concat_max_len = 100000;
INSERT INTO bytes SELECT 256, UNHEX(GROUP_CONCAT(LPAD(HEX(seq), 2, '0') ORDER BY seq SEPARATOR '')), UNHEX(GROUP_CONCAT(LPAD(HEX(255 - seq), 2, '0') ORDER BY seq SEPARATOR '')),
  CONVERT(UNHEX(GROUP_CONCAT(LPAD(HEX(seq), 2, '0') ORDER BY seq SEPARATOR '')) USING latin1) FROM seq_0_to_255;

-- Random bits as floats: as text most of them come back changed.
CREATE TABLE floats (id int PRIMARY KEY, f float, d double) ENGINE=InnoDB;
INSERT INTO floats SELECT seq, (RAND(seq) - 0.5) * POW(10, FLOOR(RAND(seq + 100000) * 70) - 35), (RAND(seq + 1) - 0.5) * POW(10, FLOOR(RAND(seq + 200000) * 600) - 300) FROM seq_1_to_2000;

-- Text in charsets of one, two, three and four bytes, some of which Unicode and back would change.
CREATE TABLE charsets (
  id int PRIMARY KEY, l1 varchar(50) CHARACTER SET latin1 COLLATE latin1_german2_ci, l2 varchar(50) CHARACTER SET latin2, gr varchar(50) CHARACTER SET greek, ko varchar(50) CHARACTER SET koi8r,
  u2 varchar(50) CHARACTER SET ucs2, u16 varchar(50) CHARACTER SET utf16, le varchar(50) CHARACTER SET utf16le, u32 varchar(50) CHARACTER SET utf32,
  u3 varchar(50) CHARACTER SET utf8mb3 COLLATE utf8mb3_bin, u4 varchar(50) CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_520_ci,
  sj varchar(50) CHARACTER SET sjis, cp varchar(50) CHARACTER SET cp932, eu varchar(50) CHARACTER SET eucjpms, b5 varchar(50) CHARACTER SET big5, gb varchar(50) CHARACTER SET gbk,
  asc_ varchar(50) CHARACTER SET ascii, sw varchar(50) CHARACTER SET swe7, bi varchar(50) CHARACTER SET binary, hb text CHARACTER SET hebrew,
  en enum('日','本','0','b\\c') CHARACTER SET ucs2, e2 enum('','0','00') CHARACTER SET utf8mb4, s2 set('','p','q'), se set('я','ю') CHARACTER SET koi8r, nc national char(5)
) DEFAULT CHARSET=latin1;
INSERT INTO charsets VALUES (1,'äöüß€','łódź','αβγ','приве','日本é\n','😀a\t','😀\\','😀','€\\n','😀𝒳','日本\\','\\表示','日本語','中文\\','中文','plain\\','[]{}','\\N\t\n','שלום','日','','','я,ю','é');
INSERT INTO charsets VALUES (2,'','','','','','','','','','','','','','','','','','','','b\\c','0','p','','');
INSERT INTO charsets (id, en, e2, s2) VALUES (3,0,0,''), (4,'0','00',1), (5,NULL,NULL,3);
INSERT INTO charsets (id, u2, u16, l1, sj, cp, b5) VALUES (6, X'0000000A0009005C', X'D83DDE00000A', X'80818D8F909D', X'8140835C955C', X'EDEE', X'A45CC056');

-- Keys of all kinds, and none.
CREATE TABLE no_key (a int, b varchar(20)) DEFAULT CHARSET=utf8mb4;
INSERT INTO no_key SELECT seq % 7, 'twice' FROM seq_1_to_500;
CREATE TABLE composite (a int NOT NULL, b varchar(20) CHARACTER SET latin1 COLLATE latin1_swedish_ci NOT NULL, c datetime(3) NOT NULL, v int, PRIMARY KEY (a, b, c), KEY v (v), KEY bc (b, c DESC)) DEFAULT CHARSET=latin1;
INSERT INTO composite SELECT seq % 3, CONCAT(CHAR(65 + seq % 50), 'ä ''\\', seq % 11), '2026-01-01' + INTERVAL seq SECOND, seq FROM seq_1_to_2500;
CREATE TABLE string_key (k varchar(60) COLLATE utf8mb4_unicode_ci NOT NULL, v text, PRIMARY KEY (k)) DEFAULT CHARSET=utf8mb4;
INSERT INTO string_key SELECT CONCAT(ELT(seq % 8 + 1, 'Ä', 'a', 'ß', 'Z', '😀', '_', '\\', ''''), seq), REPEAT('x', seq % 300) FROM seq_1_to_3000;
CREATE TABLE binary_key (k varbinary(16) PRIMARY KEY, v int) DEFAULT CHARSET=utf8mb4;
INSERT INTO binary_key SELECT UNHEX(MD5(seq)), seq FROM seq_1_to_2000;
CREATE TABLE unique_only (u bigint unsigned NOT NULL, n int, v varchar(10), UNIQUE KEY u (u), UNIQUE KEY n (n), KEY v (v)) DEFAULT CHARSET=utf8mb4;
INSERT INTO unique_only SELECT seq * 6148914691236517, IF(seq % 9, seq, NULL), 'v' FROM seq_1_to_2500;
CREATE TABLE nullable_unique (u int, UNIQUE KEY (u)) DEFAULT CHARSET=utf8mb4;
INSERT INTO nullable_unique VALUES (1), (2), (NULL), (NULL);
CREATE TABLE enum_key (e enum('z','a','m') NOT NULL, n int NOT NULL, PRIMARY KEY (e, n)) DEFAULT CHARSET=utf8mb4;
INSERT INTO enum_key SELECT seq % 3 + 1, seq FROM seq_1_to_300;
CREATE TABLE auto_second (grp int NOT NULL, id int unsigned NOT NULL AUTO_INCREMENT, a int, PRIMARY KEY (grp, id), UNIQUE KEY a_first (a), KEY by_id (id), KEY later (a, grp)) AUTO_INCREMENT=5000 DEFAULT CHARSET=utf8mb4;
INSERT INTO auto_second VALUES (1, 1, 1), (1, 2, NULL), (2, 77, 3);
CREATE TABLE auto_max (id bigint unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY) DEFAULT CHARSET=utf8mb4;
INSERT INTO auto_max VALUES (0), (18446744073709551613);
CREATE TABLE empty_auto (id int NOT NULL AUTO_INCREMENT PRIMARY KEY) AUTO_INCREMENT=1000 DEFAULT CHARSET=utf8mb4;
CREATE TABLE empty_table (a int) DEFAULT CHARSET=utf8mb4;
CREATE TABLE one_empty (s varchar(5)) DEFAULT CHARSET=utf8mb4;
INSERT INTO one_empty VALUES (''), (NULL), (''), ('\\N');

-- Names.
CREATE TABLE `we ird.t@b``,(x)` (`or``der` int PRIMARY KEY, `se lect` int, `a,b` varchar(10) DEFAULT 'it''s, (ok)' COMMENT 'KEY `x` (`y`), CONSTRAINT',
  `PRIMARY KEY (z)` int, KEY `i``dx (1)` (`se lect`, `a,b`)) DEFAULT CHARSET=utf8mb4 COMMENT='AUTO_INCREMENT=7 ) ENGINE=x';
INSERT INTO `we ird.t@b``,(x)` VALUES (1, 2, 'x', 3), (2, NULL, NULL, NULL);
CREATE TABLE `Tabelle_äöü_日本` (`spalte_ß` int PRIMARY KEY, `select` int) DEFAULT CHARSET=utf8mb4;
INSERT INTO `Tabelle_äöü_日本` VALUES (1, 1);
CREATE TABLE `table` (`key` int PRIMARY KEY, `check` varchar(20) CHECK (`check` <> 'no)')) DEFAULT CHARSET=utf8mb4;
CREATE TABLE `..%2f..` (`@` int, `%s` int, ` lead` int, `\n` int) DEFAULT CHARSET=utf8mb4;
INSERT INTO `..%2f..` VALUES (1, 2, 3, 4);

-- Options, defaults, expressions.
CREATE TABLE generated (
  id int NOT NULL AUTO_INCREMENT, a int, b varchar(20) DEFAULT (CONCAT('x', ',', ')')), v int GENERATED ALWAYS AS (a * 2) VIRTUAL, s varchar(60) GENERATED ALWAYS AS (CONCAT(b, '), (', a)) STORED,
  j longtext CHECK (json_valid(j)), h int INVISIBLE DEFAULT 7, ts timestamp NOT NULL DEFAULT current_timestamp() ON UPDATE current_timestamp(), ts2 timestamp NOT NULL DEFAULT '2020-01-01 00:00:00', u uuid DEFAULT uuid(),
  PRIMARY KEY (id), KEY on_v (v), UNIQUE KEY on_s (s), CONSTRAINT `a ck, (1)` CHECK (a > -100 AND b <> 'a'')'), CHECK (h >= 0)
) DEFAULT CHARSET=utf8mb4 ROW_FORMAT=COMPRESSED KEY_BLOCK_SIZE=8;
INSERT INTO generated (id, a, b, j, h, ts) VALUES (0, 1, 'p', '{}', 8, '2001-02-03 04:05:06'), (5, NULL, NULL, NULL, NULL, '2002-02-03 04:05:06'), (6, -3, '\\', '[1]', 1, '2003-02-03 04:05:06');
CREATE TABLE all_generated (a int AS (1) VIRTUAL) DEFAULT CHARSET=utf8mb4;
INSERT INTO all_generated VALUES (), ();
CREATE TABLE defaults (id int DEFAULT 0, a varchar(30) DEFAULT 'üñí \\ '' "', b varchar(30) CHARACTER SET latin1 DEFAULT 'ä', c binary(3) DEFAULT 'a\0b', d bit(3) DEFAULT b'101', e datetime(3) DEFAULT current_timestamp(3) ON UPDATE current_timestamp(3), f double DEFAULT 1e10, g enum('a','b') DEFAULT 'b', h text DEFAULT '😀', i int NOT NULL) DEFAULT CHARSET=utf8mb4 COMMENT='' STATS_PERSISTENT=0;
INSERT INTO defaults (id, i, e) VALUES (1, 2, '2020-01-01');
CREATE TABLE text_indexes (id int PRIMARY KEY, a text, b varchar(100), p point NOT NULL, KEY prefix (a(20)), FULLTEXT KEY ft_a (a), FULLTEXT KEY ft_ab (a, b), SPATIAL KEY sp (p), KEY b (b) COMMENT 'it''s, (here)' ) DEFAULT CHARSET=utf8mb4;
INSERT INTO text_indexes SELECT seq, CONCAT('the quick brown fox ', seq), 'jumps', POINT(seq, -seq) FROM seq_1_to_200;

-- Partitions.
CREATE TABLE by_range (id int NOT NULL, at date NOT NULL, v varchar(10), PRIMARY KEY (id, at), KEY v (v)) DEFAULT CHARSET=utf8mb4
  PARTITION BY RANGE (YEAR(at)) SUBPARTITION BY HASH (id) SUBPARTITIONS 2 (PARTITION p0 VALUES LESS THAN (2020), PARTITION p1 VALUES LESS THAN (2025) COMMENT = 'AUTO_INCREMENT=3', PARTITION pm VALUES LESS THAN MAXVALUE);
INSERT INTO by_range SELECT seq, '2018-01-01' + INTERVAL seq DAY, 'v' FROM seq_1_to_3000;
CREATE TABLE by_list (k varchar(5) NOT NULL, n int AUTO_INCREMENT, KEY (n)) DEFAULT CHARSET=utf8mb4 PARTITION BY LIST COLUMNS (k) (PARTITION a VALUES IN ('a', 'b'), PARTITION d DEFAULT);
INSERT INTO by_list (k) VALUES ('a'), ('b'), ('zzz');
CREATE TABLE by_key (id int PRIMARY KEY) DEFAULT CHARSET=utf8mb4 PARTITION BY KEY (id) PARTITIONS 3;
INSERT INTO by_key SELECT seq FROM seq_1_to_50;

-- Foreign keys: to oneself, in a circle, of several columns, without a name.
CREATE TABLE tree (id int PRIMARY KEY, parent int, CONSTRAINT own FOREIGN KEY (parent) REFERENCES tree (id) ON DELETE SET NULL ON UPDATE CASCADE) DEFAULT CHARSET=utf8mb4;
INSERT INTO tree VALUES (1, NULL), (2, 1), (3, 2), (4, 9999);
CREATE TABLE hen (id int PRIMARY KEY, egg int, FOREIGN KEY (egg) REFERENCES egg (id)) DEFAULT CHARSET=utf8mb4;
CREATE TABLE egg (id int PRIMARY KEY, hen int NOT NULL, UNIQUE KEY hen (hen, id), CONSTRAINT laid FOREIGN KEY (hen) REFERENCES hen (id) ON DELETE CASCADE) DEFAULT CHARSET=utf8mb4;
INSERT INTO hen VALUES (1, 1), (2, NULL);
INSERT INTO egg VALUES (1, 1), (2, 1);
CREATE TABLE pair (a int, b int, c int, KEY c (c), CONSTRAINT `two, (cols)` FOREIGN KEY (a, b) REFERENCES egg (hen, id)) DEFAULT CHARSET=utf8mb4;
INSERT INTO pair VALUES (1, 2, 3), (NULL, 5, 6);

-- Engines that keep no versions.
CREATE TABLE isam (id int NOT NULL AUTO_INCREMENT, grp int NOT NULL, t text, PRIMARY KEY (grp, id), FULLTEXT KEY t (t)) ENGINE=MyISAM DEFAULT CHARSET=utf8mb4;
INSERT INTO isam (grp, t) SELECT seq % 3, 'my isam' FROM seq_1_to_100;
CREATE TABLE aria (id int PRIMARY KEY, KEY (id)) ENGINE=Aria DEFAULT CHARSET=utf8mb4 TRANSACTIONAL=1;
INSERT INTO aria VALUES (1), (2);

-- Rows with a past.
CREATE TABLE versioned (id int PRIMARY KEY, v varchar(20)) DEFAULT CHARSET=utf8mb4 WITH SYSTEM VERSIONING;
INSERT INTO versioned SELECT seq, 'first' FROM seq_1_to_20;
UPDATE versioned SET v = 'second' WHERE id % 2 = 0;
DELETE FROM versioned WHERE id > 15;
CREATE TABLE versioned_columns (id int PRIMARY KEY, v int, kept int WITHOUT SYSTEM VERSIONING, s timestamp(6) GENERATED ALWAYS AS ROW START INVISIBLE, e timestamp(6) GENERATED ALWAYS AS ROW END INVISIBLE, PERIOD FOR SYSTEM_TIME (s, e)) DEFAULT CHARSET=utf8mb4 WITH SYSTEM VERSIONING;
INSERT INTO versioned_columns (id, v, kept) VALUES (1, 1, 1), (2, 2, 2);
UPDATE versioned_columns SET v = 3 WHERE id = 1;
CREATE TABLE booking (id int, f date, t date, PERIOD FOR p (f, t), UNIQUE KEY (id, p WITHOUT OVERLAPS)) DEFAULT CHARSET=utf8mb4;
INSERT INTO booking VALUES (1, '2026-01-01', '2026-02-01'), (1, '2026-02-01', '2026-03-01');

-- Sequences.
CREATE SEQUENCE seq_plain;
CREATE SEQUENCE `seq odd` START WITH -5 INCREMENT BY -3 MINVALUE -1000 MAXVALUE 10 NOCACHE CYCLE;
CREATE TABLE from_sequence (id bigint NOT NULL DEFAULT nextval(seq_plain) PRIMARY KEY, v int) DEFAULT CHARSET=utf8mb4;
INSERT INTO from_sequence (v) VALUES (1), (2);
DO NEXTVAL(`seq odd`), NEXTVAL(`seq odd`);

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
CREATE VIEW m_middle AS SELECT z.id, twice(z.next) AS four FROM z_base z JOIN no_key `a_top` ON a_top.a = z.id;
CREATE ALGORITHM=TEMPTABLE SQL SECURITY INVOKER VIEW a_top AS SELECT four, (SELECT COUNT(*) FROM tree WHERE id IN (SELECT id FROM m_middle)) AS n FROM m_middle GROUP BY four;
CREATE DEFINER=`no body`@`%` VIEW `v .``iew` AS SELECT `or``der` AS `x``y` FROM `we ird.t@b``,(x)` WHERE `se lect` > 0 WITH CASCADED CHECK OPTION;
CREATE VIEW with_cte AS WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 5) SELECT n, n IN (SELECT id FROM z_base) AS has FROM r UNION SELECT a, b FROM pair;
SET NAMES latin1;
CREATE VIEW latin_view AS SELECT 'caf�' AS word;
CREATE PROCEDURE latin_proc() SELECT 'caf�';
SET NAMES utf8mb4;
CREATE TABLE audit (n int NOT NULL AUTO_INCREMENT PRIMARY KEY, what varchar(100)) DEFAULT CHARSET=utf8mb4;
CREATE TRIGGER z_first BEFORE INSERT ON pair FOR EACH ROW SET NEW.c = NEW.c + 1;
CREATE TRIGGER a_second BEFORE INSERT ON pair FOR EACH ROW FOLLOWS z_first BEGIN SET NEW.c = NEW.c * 2; INSERT INTO audit (what) VALUES ('pair; ü'); END;
CREATE DEFINER=`no body`@`%` TRIGGER m_between BEFORE INSERT ON pair FOR EACH ROW PRECEDES a_second SET NEW.c = NEW.c - 1;
CREATE TRIGGER on_types AFTER UPDATE ON all_types FOR EACH ROW INSERT INTO audit (what) VALUES (OLD.id);
CREATE EVENT never ON SCHEDULE EVERY 1 DAY STARTS '2037-01-01 00:00:00' ON COMPLETION PRESERVE DISABLE COMMENT 'it''s' DO BEGIN DELETE FROM audit; DELETE FROM no_key; END;
SET time_zone = '+05:00';
CREATE DEFINER=`no body`@`%` EVENT `far off` ON SCHEDULE AT '2037-06-01 12:00:00' DO DELETE FROM audit;
SET time_zone = '+00:00';

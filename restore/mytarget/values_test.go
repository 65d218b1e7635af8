package mytarget

import (
	"context"
	"testing"

	"github.com/pgmove/pgmove/stream"
)

func TestPlainValues(t *testing.T) {
	t.Parallel()
	for _, sql := range []string{
		`(1,"a;\"b",NULL),` + "\n" + `(-2.5e+06,'it''s \\',0x00FF)`, `(CONVERT("{}" USING UTF8MB4),_binary "a", X'5C')`, `(_utf8mb4 0x41, .5,b'1')`,
	} {
		if !plainValues(sql) {
			t.Errorf("refused: %s", sql)
		}
	}
	for _, sql := range []string{
		"", "(1", "(1) ON DUPLICATE KEY UPDATE a = 1", "(LOAD_FILE('/etc/passwd'))", "((SELECT 1))", "(`x`)", "(@@version)", "(1/*!50000 */)", "(1) -- x", "(1) RETURNING a",
		"('a", "(f(1))", "(CONVERT(f('1') USING utf8))", "(CONVERT)", "(1) AS new", "(1--1)", "(NOW())", "(1);(2)", "(USER)", "(1 # x\n)",
	} {
		if plainValues(sql) {
			t.Errorf("taken: %s", sql)
		}
	}
}

// TestInsertsOnly: what isn't an INSERT of values into the table itself is refused before it reaches a server.
func TestInsertsOnly(t *testing.T) {
	t.Parallel()
	e := &stream.Entry{Desc: "TABLE DATA", Tag: "t"}
	for _, sql := range []string{
		"INSERT INTO `t`.`x` VALUES (1)", "INSERT INTO `t` . `x` VALUES (1)", "INSERT INTO `t`/**/.`x` VALUES (1)", "INSERT INTO `x` VALUES (1)", "INSERT INTO `t` SELECT 1",
		"INSERT INTO `t` (`a`) SELECT 1", "INSERT INTO `t` VALUES (1) ON DUPLICATE KEY UPDATE a = 1", "INSERT INTO `t` (`a`,`b`) VALUES (LOAD_FILE('x'))", "SET NAMES gbk",
		"/*M!100000 INSERT INTO t VALUES (1) */", "REPLACE INTO `t` VALUES (1)", "SET SQL_MODE = '', GLOBAL read_only = 1; ",
	} {
		if _, err := insertOne(context.Background(), nil, e, sql); stream.KindOf(err) != stream.Integrity {
			t.Errorf("%s: %v", sql, err)
		}
	}
	for _, sql := range []string{"INSERT INTO `t` VALUES\n(1)", "INSERT IGNORE INTO `t` (`a`, `b``c`) VALUES (1,2)", "INSERT INTO `t` VALUES(1)"} {
		if m := insert1.FindString(sql); m == "" || !plainValues(sql[len(m):]) {
			t.Errorf("refused: %s", sql)
		}
	}
}

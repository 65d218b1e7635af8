package mysession

import (
	"slices"
	"strings"
	"testing"
)

const nasty = "CREATE TABLE `t (a, ``b``)` (\n" +
	"  `id` int(11) NOT NULL AUTO_INCREMENT COMMENT 'KEY `x` (`y`), CONSTRAINT ''q'' \\',',\n" +
	"  `a,b` varchar(10) DEFAULT '),\\n  KEY `z` (`z`' CHECK (`a,b` <> ')' and `id` in (1,2)),\n" +
	"  `g` int(11) GENERATED ALWAYS AS (concat(`a,b`,'\\'',\")\")) STORED,\n" +
	"  `h` int /*!80023 INVISIBLE */,\n" +
	"  PRIMARY KEY (`id`),\n" +
	"  UNIQUE KEY `u,``q` (`a,b`(5),`g` DESC) USING BTREE COMMENT ',)',\n" +
	"  KEY `fn` ((`g` + 1)) /*!80000 INVISIBLE */,\n" +
	"  FULLTEXT KEY `ft` (`a,b`) /*!50100 WITH PARSER `ngram` */ ,\n" +
	"  SPATIAL KEY `sp` (`h`),\n" +
	"  CONSTRAINT `f,k` FOREIGN KEY (`g`, `h`) REFERENCES `other`.`p)` (`x`, `y`) ON DELETE CASCADE,\n" +
	"  CONSTRAINT `ck` CHECK (`g` > 0),\n" +
	"  CONSTRAINT `fk2` FOREIGN KEY (`h`) REFERENCES `t (a, ``b``)` (`id`)\n" +
	") ENGINE=InnoDB AUTO_INCREMENT=18446744073709551615 DEFAULT CHARSET=utf8mb4 COMMENT='AUTO_INCREMENT=3 ('\n" +
	"/*!50100 PARTITION BY RANGE (`id`)\n(PARTITION `p` VALUES LESS THAN (5) COMMENT = 'AUTO_INCREMENT=7' ENGINE = InnoDB) */"

func TestParseCreateTable(t *testing.T) {
	d, err := ParseCreateTable(nasty, false)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(nasty, "\n")
	want := strings.Join(slices.Concat(lines[:6], lines[11:12], lines[13:]), "\n")
	want = strings.Replace(want, "(`g` > 0),\n)", "(`g` > 0)\n)", 1)
	want = strings.Replace(want, " AUTO_INCREMENT=18446744073709551615", "", 1)
	if d.Create != want {
		t.Errorf("the table is\n%s\ninstead of\n%s", d.Create, want)
	}
	var keys []string
	for _, k := range append(d.Keys, d.Foreign...) {
		keys = append(keys, k.Name+"|"+k.Def+"|"+k.Database+"."+k.References)
	}
	wantKeys := []string{
		"u,`q|UNIQUE KEY `u,``q` (`a,b`(5),`g` DESC) USING BTREE COMMENT ',)'|.",
		"fn|KEY `fn` ((`g` + 1)) /*!80000 INVISIBLE */|.",
		"ft|FULLTEXT KEY `ft` (`a,b`) /*!50100 WITH PARSER `ngram` */|.",
		"sp|SPATIAL KEY `sp` (`h`)|.",
		"f,k|CONSTRAINT `f,k` FOREIGN KEY (`g`, `h`) REFERENCES `other`.`p)` (`x`, `y`) ON DELETE CASCADE|other.p)",
		"fk2|CONSTRAINT `fk2` FOREIGN KEY (`h`) REFERENCES `t (a, ``b``)` (`id`)|.t (a, `b`)",
	}
	if !slices.Equal(keys, wantKeys) {
		t.Errorf("the keys are\n%s", strings.Join(keys, "\n"))
	}
	if d.AutoIncrement != "18446744073709551615" || !d.Keys[2].FullText || d.Keys[0].FullText {
		t.Errorf("%+v", d)
	}
	kept, err := ParseCreateTable(nasty, true)
	if err != nil || len(kept.Keys) != 0 || !strings.Contains(kept.Create, "`sp`") || len(kept.Foreign) != 2 {
		t.Errorf("with all kept: %+v (%v)", kept, err)
	}
}

// TestKeysThatStay: what a table can't be loaded without, or would be stored otherwise.
func TestKeysThatStay(t *testing.T) {
	for in, later := range map[string]string{
		"`a` int NOT NULL AUTO_INCREMENT, PRIMARY KEY (`a`), KEY `k` (`b`)":                                              "k",
		"`a` int NOT NULL AUTO_INCREMENT, PRIMARY KEY (`b`), KEY `k` (`b`), KEY `n` (`a`,`b`), KEY `m` (`a`)":            "m",
		"`a` int NOT NULL, UNIQUE KEY `u` (`a`), UNIQUE KEY `v` (`b`), KEY `k` (`b`)":                                    "v k",
		"`a` int NOT NULL AUTO_INCREMENT, UNIQUE KEY `u` (`b`), KEY `n` (`a`), KEY `k` (`b`)":                            "k",
		"`a` int COMMENT 'AUTO_INCREMENT', `auto_increment` int DEFAULT (`AUTO_INCREMENT`), KEY `k` (`a`), PERIOD FOR p": "k",
	} {
		d, err := ParseCreateTable("CREATE TABLE `t` (\n"+in+"\n)", false)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, k := range d.Keys {
			names = append(names, k.Name)
		}
		if got := strings.Join(names, " "); got != later {
			t.Errorf("%s: later come %q instead of %q", in, got, later)
		}
	}
	for _, bad := range []string{"", "CREATE TABLE `t` (", "CREATE TABLE `t` (,)", "DROP TABLE t (a)", "CREATE TABLE `t` (`a` int, )"} {
		if d, err := ParseCreateTable(bad, false); err == nil {
			t.Errorf("%q is a table: %+v", bad, d)
		}
	}
}

// FuzzParseCreateTable: nothing breaks the parser, and no byte of what it takes apart is lost.
func FuzzParseCreateTable(f *testing.F) {
	f.Add(nasty)
	f.Add("CREATE TABLE `t` (\n  `a` int /*! x */, /*!80000 KEY `k` (`a`) */\n)")
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseCreateTable(s, false)
		if err != nil {
			return
		}
		n := len(d.Create)
		for _, k := range append(d.Keys, d.Foreign...) {
			n += len(k.Def)
			if !strings.Contains(s, k.Def) {
				t.Errorf("%q is no part of %q", k.Def, s)
			}
		}
		if again, err := ParseCreateTable(d.Create, true); err == nil && len(again.Foreign) > 0 {
			t.Errorf("%q still has foreign keys", d.Create)
		}
	})
}

func TestPrograms(t *testing.T) {
	const create = "CREATE ALGORITHM=UNDEFINED DEFINER=`no``body`@`%` SQL SECURITY DEFINER VIEW `v` AS select `sh``op`.`f`(`sh``op`.`a`) AS `x`,'`sh``op`.`f`(' AS `y` " +
		"from ((`t1` `sh``op` join `sh``op`.`t2` on(`t1`.`a` = 1)) left join (`other`.`t3` straight_join `t4`)) where `a` in (select `b` from `t5` where extract(year from `c`) = 1)"
	if who, _, _ := Definer(create); who != "`no``body`@`%`" {
		t.Errorf("the definer is %s", who)
	}
	if got := WithDefiner(create, ""); got != strings.Replace(create, "DEFINER=`no``body`@`%` ", "", 1) {
		t.Error(got)
	}
	if got := WithDefiner(create, "`a`@`b`"); got != strings.Replace(create, "`no``body`@`%`", "`a`@`b`", 1) {
		t.Error(got)
	}
	if got := WithDefiner("CREATE PROCEDURE p() SELECT 'DEFINER=`a`@`b`'", ""); got != "CREATE PROCEDURE p() SELECT 'DEFINER=`a`@`b`'" {
		t.Error(got)
	}
	want := strings.Replace(strings.Replace(create, "`sh``op`.`f`(`sh", "`f`(`sh", 1), "join `sh``op`.`t2`", "join `t2`", 1)
	if got := WithoutDatabase(create, "sh`op"); got != want {
		t.Error(got)
	}
	if got := WithoutDatabase("select `d`.`t`.`c`,`d`.`c`,'`d`.`t`.`c`',nextval(`d`.`s`),`x`.`d`.`c` from (`d`.`t` `d`) DEFAULT (next value for `d`.`s`)", "d"); got !=
		"select `t`.`c`,`d`.`c`,'`d`.`t`.`c`',nextval(`s`),`x`.`d`.`c` from (`t` `d`) DEFAULT (next value for `s`)" {
		t.Error(got)
	}
	if who, _, _ := Definer(`CREATE DEFINER="a""b"@"%" PROCEDURE "p"() SELECT 1`); who != "`a\"b`@`%`" {
		t.Errorf("the definer is %s", who)
	}
	// `c` is a column: a view of that name would be waited for needlessly, no more.
	if got := From(create, "sh`op"); !slices.Equal(got, []string{"t1", "t2", "t4", "t5", "c"}) {
		t.Errorf("it reads %q", got)
	}
	defn := Program([]string{"sql_mode = ''", "time_zone = 'SYSTEM'"}, "CREATE EVENT e DO\nBEGIN SELECT 1;\nEND")
	if set, stmt := Statements(defn); set != "SET SESSION sql_mode = '', time_zone = 'SYSTEM'" || stmt != "CREATE EVENT e DO\nBEGIN SELECT 1;\nEND" {
		t.Errorf("%q and %q", set, stmt)
	}
	if set, stmt := Statements("CREATE TABLE t (\na int);\n"); set != "" || stmt != "CREATE TABLE t (\na int);\n" {
		t.Errorf("%q and %q", set, stmt)
	}
}

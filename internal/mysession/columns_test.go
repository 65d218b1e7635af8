package mysession

import (
	"maps"
	"slices"
	"testing"
)

const printed = "CREATE TABLE `t` (\n  `Id` int(11) NOT NULL AUTO_INCREMENT,\n  `a,b` varchar(10) NOT NULL DEFAULT 'x, CHARSET=latin2 (',\n  `l` text CHARACTER SET latin1 COLLATE latin1_bin DEFAULT NULL,\n" +
	"  `e` enum('a','b') CHARACTER SET utf8 NOT NULL,\n  `b` blob DEFAULT NULL,\n  `g` char(3) CHARACTER SET ascii GENERATED ALWAYS AS (convert(`l` using utf8mb4)) VIRTUAL,\n" +
	"  PRIMARY KEY (`Id`),\n  UNIQUE KEY `one` (`a,b`,`e`),\n  FULLTEXT KEY `two` (`l`),\n  KEY `three` (`e`(1)),\n  CONSTRAINT `four` FOREIGN KEY (`Id`) REFERENCES `other` (`id`) ON DELETE CASCADE,\n" +
	"  CONSTRAINT `five` CHECK (`Id` > 0)\n) ENGINE=InnoDB AUTO_INCREMENT=7 DEFAULT CHARSET=utf8mb4 COMMENT='CHARSET=x'\n/*!50100 PARTITION BY KEY (`Id`) */"

func TestColumnCharsets(t *testing.T) {
	want := map[string]string{"a,b": "utf8mb4", "l": "latin1", "e": "utf8mb3", "g": "ascii"}
	if got := ColumnCharsets(printed); !maps.Equal(got, want) {
		t.Errorf("%v instead of %v", got, want)
	}
	if got := ColumnCharsets("CREATE TABLE"); len(got) != 0 {
		t.Errorf("of nothing there is %v", got)
	}
}

func TestKeysWithin(t *testing.T) {
	keys, foreign := KeysWithin(printed)
	if !slices.Equal(keys, []string{"one", "two", "three"}) || !slices.Equal(foreign, []string{"four"}) {
		t.Errorf("keys %v, foreign %v", keys, foreign)
	}
	d, err := ParseCreateTable(printed, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		keys []Key
		want []string
	}{{d.Keys, []string{"one", "two", "three"}}, {d.Foreign, []string{"four"}}} {
		if table, names := AddedKeys(AddKeys("t", c.keys)); table != "t" || !slices.Equal(names, c.want) {
			t.Errorf("added to %s: %v instead of %v", table, names, c.want)
		}
	}
	if got := Referred(AddKeys("t", d.Foreign)); !slices.Equal(got, []string{"other"}) {
		t.Errorf("referred to: %v", got)
	}
	if d.Whole != "CREATE TABLE `t` (\n"+printed[len("CREATE TABLE `t` (\n"):len(printed)-len(" AUTO_INCREMENT=7 DEFAULT CHARSET=utf8mb4 COMMENT='CHARSET=x'\n/*!50100 PARTITION BY KEY (`Id`) */")]+" DEFAULT CHARSET=utf8mb4 COMMENT='CHARSET=x'\n/*!50100 PARTITION BY KEY (`Id`) */" {
		t.Errorf("without its AUTO_INCREMENT value:\n%s", d.Whole)
	}
}

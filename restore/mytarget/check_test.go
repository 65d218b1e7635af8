package mytarget

import (
	"slices"
	"strings"
	"testing"

	"github.com/pgmove/pgmove/internal/mysession"
	"github.com/pgmove/pgmove/stream"
)

// TestOlder: a target of the other kind is told of too, which the tests have no server of.
func TestOlder(t *testing.T) {
	maria, mariaOld := mysession.Version{MariaDB: true, Num: 10110004, Text: "10.11.4-MariaDB"}, mysession.Version{MariaDB: true, Num: 10060012, Text: "10.6.12-MariaDB"}
	oracle := mysession.Version{Num: 8040002, Text: "8.4.2"}
	for _, c := range []struct {
		from, to mysession.Version
		want     string
	}{
		{maria, maria, ""}, {mariaOld, maria, ""}, {maria, mariaOld, "what is new in between"}, {maria, oracle, "nothing is translated"}, {oracle, maria, "MySQL 8.4.2, the target MariaDB 10.11.4"},
	} {
		got := older(c.from, c.to)
		if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("from %s to %s: %q, want %q", c.from.Name(), c.to.Name(), got, c.want)
		}
	}
}

func TestAssignments(t *testing.T) {
	got := assignments("SET SESSION sql_mode = 'ANSI_QUOTES,IGNORE_SPACE', time_zone = 'It''s, here', character_set_client = utf8mb4;")
	want := []string{"sql_mode = 'ANSI_QUOTES,IGNORE_SPACE'", "time_zone = 'It''s, here'", "character_set_client = utf8mb4"}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if got := assignments("CREATE VIEW v AS SELECT 1"); got != nil {
		t.Errorf("%q", got)
	}
}

func TestCollationsOf(t *testing.T) {
	got := collationsOf([]stream.Entry{
		{Desc: "DATABASE", Defn: "ALTER DATABASE CHARACTER SET = utf8mb4 COLLATE = utf8mb4_general_ci"},
		{Desc: "TABLE", Defn: "CREATE TABLE `COLLATE x` (a varchar(9) COLLATE utf8mb4_0900_ai_ci COMMENT 'COLLATE no', b text COLLATE utf8mb4_general_ci) COLLATE=latin1_bin"},
		{Desc: "VIEW", Defn: "CREATE VIEW v AS SELECT 'a' COLLATE utf8mb4_bin"},
	})
	if want := []string{"utf8mb4_general_ci", "utf8mb4_0900_ai_ci", "latin1_bin"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

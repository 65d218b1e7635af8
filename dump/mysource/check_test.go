package mysource

import (
	"testing"

	"github.com/pgmove/pgmove/internal/mysession"
)

// TestRungsAreTold: each rung that several sessions may stand on is explained, those too that no server of the tests has.
func TestRungsAreTold(t *testing.T) {
	for _, r := range allRungs {
		if said := rungs[r]; r != Single && (said.msg == "" || said.hint == "") {
			t.Errorf("nothing is said of %s", r)
		}
	}
	s := &Source{version: mysession.Version{Num: 8040000}}
	for r, want := range map[Rung]bool{BackupStage: false, FlushTables: true, LockTables: true, BinlogSnapshot: false, GTID: true, Single: true} {
		if s.knows(r) != want {
			t.Errorf("MySQL knows %s: %v", r, !want)
		}
	}
}

func TestQuotedAccount(t *testing.T) {
	for in, want := range map[string]string{"me@%": "`me`@`%`", "a@b@localhost": "`a@b`@`localhost`", "role": "`role`", "role@": "`role`", "we`ird@%": "`we``ird`@`%`"} {
		if got := quotedAccount(in); got != want {
			t.Errorf("%s is %s, want %s", in, got, want)
		}
	}
}

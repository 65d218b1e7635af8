package testbed_test

import (
	"strings"
	"testing"

	"github.com/pgmove/pgmove/internal/testbed"
)

// TestMariaDB: the server keeps its data and its port over a stop and over a crash, lets nobody in without the
// password, and has a binary log.
func TestMariaDB(t *testing.T) {
	m := testbed.OwnMariaDB(t, testbed.MariaDBOptions{Settings: map[string]string{"max_connections": "33"}})
	db := testbed.MariaDatabase(t, "odd `name", m)
	testbed.MariaSQL(t, m, db, "CREATE TABLE t (a int); INSERT INTO t VALUES (1), (NULL)")
	port := m.Port()
	for _, crash := range []bool{false, true} {
		if err := m.Stop(t.Context(), crash); err != nil {
			t.Fatal(err)
		}
		if err := m.Exec(t.Context(), db, "DO 1"); err == nil {
			t.Error("a server that was stopped answers")
		}
		if err := m.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	rows, err := m.Query(t.Context(), db, "SELECT a, @@port, @@max_connections, @@log_bin, @@local_infile FROM t ORDER BY a DESC")
	if err != nil || len(rows) != 2 || rows[0][0] != "1" || rows[1][0] != testbed.Null || strings.Join(rows[0][2:], " ") != "33 1 1" || m.Port() != port {
		t.Errorf("after two stops the rows are %v (%v)", rows, err)
	}
	users, err := m.Query(t.Context(), "", "SELECT User FROM mysql.user WHERE authentication_string = '' AND User NOT IN ('mariadb.sys', 'PUBLIC')")
	if err != nil || len(users) != 0 {
		t.Errorf("accounts without a password: %v (%v)", users, err)
	}
	if !strings.Contains(m.URL(db), m.Password()) || m.User() == "" || strings.Contains(m.Log(), m.Password()) {
		t.Error("the password is not where it belongs")
	}
	if _, err := m.Value(t.Context(), db, "SELECT a FROM t"); err == nil {
		t.Error("two rows are one value")
	}
}

// TestMariaDBShared: servers are shared, and two of them are two.
func TestMariaDBShared(t *testing.T) {
	a, b := testbed.SharedMariaDB(t, 0), testbed.SharedMariaDB(t, 1)
	if a != testbed.SharedMariaDB(t, 0) || a.Port() == b.Port() {
		t.Error("the shared servers are not two")
	}
	name := testbed.MariaDatabase(t, "", a, b)
	if other := testbed.MariaDatabase(t, "", a); other == name {
		t.Errorf("%s was made twice", name)
	}
}

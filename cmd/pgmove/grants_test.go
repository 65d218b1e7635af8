package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pgmove/pgmove/internal/testbed"
)

// ofRoles runs SQL with a list of the fixture's roles, but for one that is left out.
func ofRoles(t *testing.T, p *testbed.Postgres, format, without string) {
	t.Helper()
	rows, err := p.Query(t.Context(), "postgres", "SELECT quote_ident(rolname) FROM pg_roles WHERE rolname LIKE 'pgmove_test_%' AND rolname <> '"+without+"'")
	if err != nil || len(rows) == 0 {
		t.Fatalf("%d roles, %v", len(rows), err)
	}
	var names []string
	for _, r := range rows {
		names = append(names, r[0])
	}
	testbed.SQL(t, p, "postgres", fmt.Sprintf(format, strings.Join(names, ", ")))
}

// TestLeastPrivilege moves the fixture, as far as it needs no superuser, with the grants of docs/security.md and nothing
// more; each of them taken away is a refusal that says so, before the target is touched.
func TestLeastPrivilege(t *testing.T) {
	p := testbed.OwnPostgres(t, testbed.PostgresOptions{Settings: map[string]string{"max_locks_per_transaction": "256"}})
	if p.Major() < 14 {
		t.Fatalf("PostgreSQL %d has no pg_read_all_data", p.Major())
	}
	prepareCluster(t, p)
	src := database(t, p)
	testbed.SQL(t, p, "postgres", "ALTER ROLE pgmove_test_owner LOGIN PASSWORD 'owner'; ALTER DATABASE "+src+" OWNER TO pgmove_test_owner; REVOKE ALL ON DATABASE "+src+" FROM PUBLIC")
	c := connect(t, p.URLAs("pgmove_test_owner", "owner", src))
	if _, err := testbed.LoadFixture(t.Context(), c, fixtures+"everything.sql", testbed.FixtureOptions{Without: []string{"acls"}}); err != nil {
		t.Fatal(err)
	}
	_ = c.Close(t.Context())
	// Its own owner may not read this one, and so the target's role can't read it back.
	testbed.SQL(t, p, src, "SELECT lo_unlink(103)")
	blob, err := p.Value(t.Context(), src, "SELECT max(oid) FROM pg_largeobject_metadata")
	if err != nil {
		t.Fatal(err)
	}
	// docs/security.md, "The source's role".
	testbed.SQL(t, p, src, `CREATE ROLE giver LOGIN PASSWORD 'giver' BYPASSRLS;
		GRANT CONNECT ON DATABASE `+src+` TO giver;
		GRANT pg_read_all_data TO giver;
		DO $$ DECLARE o oid; BEGIN FOR o IN SELECT oid FROM pg_largeobject_metadata LOOP EXECUTE format('GRANT SELECT ON LARGE OBJECT %s TO giver', o); END LOOP; END $$`)
	// docs/security.md, "The target's role".
	testbed.SQL(t, p, "postgres", "CREATE ROLE taker LOGIN PASSWORD 'taker' BYPASSRLS; GRANT pg_read_all_data TO taker")
	ofRoles(t, p, "GRANT %s TO taker", "")
	testbed.SQL(t, p, "postgres", `GRANT CREATE ON TABLESPACE "pgmove_test space" TO taker`)
	empty := func() string {
		db := testbed.Database(t, p)
		testbed.SQL(t, p, "postgres", "ALTER DATABASE "+db+" OWNER TO pgmove_test_owner")
		return db
	}
	run := func(dst string) []string {
		return []string{"run", "--source", p.URLAs("giver", "giver", src), "--target", p.URLAs("taker", "taker", dst), "--split-size", "64kB"}
	}
	dst := empty()
	for _, r := range []struct {
		name, take, give string
		code             int
		words            []string
	}{
		{"CONNECT", "REVOKE CONNECT ON DATABASE " + src + " FROM giver", "GRANT CONNECT ON DATABASE " + src + " TO giver", 12, []string{"CONNECT"}},
		{"pg_read_all_data", "REVOKE pg_read_all_data FROM giver", "GRANT pg_read_all_data TO giver", 12, []string{"pg_read_all_data"}},
		{"BYPASSRLS", "ALTER ROLE giver NOBYPASSRLS", "ALTER ROLE giver BYPASSRLS", 12, []string{"BYPASSRLS"}},
		{"SELECT on a large object", "REVOKE SELECT ON LARGE OBJECT " + blob + " FROM giver", "GRANT SELECT ON LARGE OBJECT " + blob + " TO giver", 12, []string{"large object " + blob}},
		{"ownership of the target", "ALTER DATABASE " + dst + " OWNER TO postgres", "ALTER DATABASE " + dst + " OWNER TO pgmove_test_owner", 12, []string{"may not create schemas", "owner"}},
		{"membership in an owner", "REVOKE pgmove_test_owner FROM taker", "GRANT pgmove_test_owner TO taker", 12, []string{"no member", "pgmove_test_owner", "--no-owner"}},
		{"LOGIN of the target's role", "ALTER ROLE taker NOLOGIN", "ALTER ROLE taker LOGIN", 12, nil},
	} {
		t.Run("without "+r.name, func(t *testing.T) {
			testbed.SQL(t, p, src, r.take)
			wantText(t, mustExit(t, r.code, run(dst)...), r.words...)
			untouched(t, p, dst)
			testbed.SQL(t, p, src, r.give)
		})
	}
	mustExit(t, 0, run(dst)...)
	testbed.MustBeEqual(t, p, src, p, dst, stale...)
	// Without membership in any owner: what is left is the restoring role's own.
	ofRoles(t, p, "REVOKE %s FROM taker", "")
	own := testbed.Database(t, p)
	testbed.SQL(t, p, "postgres", "ALTER DATABASE "+own+" OWNER TO taker")
	mustExit(t, 0, append(run(own), "--no-owner", "--no-acl")...)
}

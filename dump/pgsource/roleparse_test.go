package pgsource

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/pgmove/pgmove/stream"
)

// TestParseRoles reads what pg_dumpall of several versions prints.
func TestParseRoles(t *testing.T) {
	roles, strange, err := parseRoles(`--
\restrict abc;DROP
SET default_transaction_read_only = off;
CREATE ROLE "a; DROP ROLE ""b""";
ALTER ROLE "a; DROP ROLE ""b""" WITH NOSUPERUSER INHERIT NOCREATEROLE NOCREATEDB LOGIN NOREPLICATION NOBYPASSRLS CONNECTION LIMIT 3 VALID UNTIL '2030-01-01 00:00:00+00';
COMMENT ON ROLE "a; DROP ROLE ""b""" IS E'x\\y''; DROP ROLE b;';
CREATE ROLE b;
ALTER ROLE b WITH SUPERUSER NOINHERIT CREATEROLE CREATEDB NOLOGIN REPLICATION BYPASSRLS;
SECURITY LABEL FOR dummy ON ROLE b IS 'secret';
ALTER ROLE b SET search_path TO 'a', 'b"c';
ALTER ROLE b SET "my.Own" TO '';
ALTER ROLE b IN DATABASE x SET work_mem TO '1MB';
GRANT "a; DROP ROLE ""b""" TO b WITH ADMIN OPTION GRANTED BY postgres;
GRANT b TO "a; DROP ROLE ""b""" WITH INHERIT FALSE, SET FALSE GRANTED BY postgres;
GRANT b TO "a; DROP ROLE ""b""" WITH ADMIN OPTION, INHERIT TRUE GRANTED BY "x y";
DROP ROLE b;
\unrestrict abc
`)
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(roles)
	if err != nil {
		t.Fatal(err)
	}
	want := `[{"name":"a; DROP ROLE \"b\"","login":true,"inherit":true,"limit":3,"valid_until":"2030-01-01 00:00:00+00","comment":"x\\y'; DROP ROLE b;",` +
		`"member_of":[{"role":"b","admin":true,"inherit":true}]},` +
		`{"name":"b","create_role":true,"create_db":true,"superuser":true,"replication":true,"bypass_rls":true,"limit":-1,` +
		`"settings":[{"name":"search_path","values":["a","b\"c"]},{"name":"my.Own","values":[""]}],"member_of":[{"role":"a; DROP ROLE \"b\"","admin":true}]}]`
	if string(got) != want {
		t.Errorf("got\n%s, want\n%s", got, want)
	}
	if !slices.Equal(strange, []string{"SECURITY LABEL FOR dummy ON", "DROP ROLE b"}) {
		t.Errorf("not known are %q", strange)
	}
	for _, bad := range []string{"CREATE ROLE 'x", "CREATE ROLE a", "ALTER ROLE a WITH LOGIN;", "CREATE ROLE a; ALTER ROLE a WITH PASSWORD 'x';", `CREATE ROLE a; COMMENT ON ROLE a IS E'\n';`,
		"GRANT a TO b;", "CREATE ROLE a; ALTER ROLE a WITH CONNECTION LIMIT many;"} {
		if _, _, err := parseRoles(bad); err == nil {
			t.Errorf("no error of %s", bad)
		}
	}
}

// TestConnectedRoles takes the roles in use and those that memberships connect with them, in both directions, but not by way of the server's own.
func TestConnectedRoles(t *testing.T) {
	all, _, err := parseRoles(`CREATE ROLE app; CREATE ROLE writer; CREATE ROLE base; CREATE ROLE other; CREATE ROLE pg_monitor; CREATE ROLE rdsadmin; CREATE ROLE stranger;
		GRANT writer TO app; GRANT base TO writer; GRANT pg_monitor TO app; GRANT pg_monitor TO other; GRANT rdsadmin TO stranger;`)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, r := range connected(all, map[stream.Text]bool{"writer": true, "rdsadmin": true}) {
		names = append(names, string(r.Name))
	}
	if got := strings.Join(names, " "); got != "app writer base" {
		t.Errorf("connected are %s", got)
	}
}

// FuzzParseRoles never panics, and takes no name that isn't in the text.
func FuzzParseRoles(f *testing.F) {
	f.Add("CREATE ROLE a; ALTER ROLE a WITH LOGIN CONNECTION LIMIT 3 VALID UNTIL 'x'; GRANT a TO a WITH ADMIN OPTION, SET FALSE GRANTED BY b;")
	f.Add("ALTER ROLE a SET b TO 'c', E'\\\\';\n\\x\n--y\n")
	f.Fuzz(func(t *testing.T, sql string) {
		roles, _, err := parseRoles(sql)
		for _, r := range roles {
			if err == nil && !strings.Contains(strings.ReplaceAll(sql, `""`, `"`), string(r.Name)) && !strings.Contains(string(r.Name), `"`) {
				t.Errorf("%q is no name of %q", r.Name, sql)
			}
		}
	})
}

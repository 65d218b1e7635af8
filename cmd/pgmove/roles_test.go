package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgmove/pgmove/internal/testbed"
)

// rolesSource makes a server with roles of all kinds, and a database that some of them use.
func rolesSource(t *testing.T) (p *testbed.Postgres, db, reader string) {
	t.Helper()
	p = testbed.OwnPostgres(t, testbed.PostgresOptions{})
	db = testbed.Database(t, p)
	testbed.SQL(t, p, db, `CREATE ROLE "owner; DROP ROLE ""x""" NOLOGIN; CREATE ROLE writer NOLOGIN NOINHERIT; CREATE ROLE app LOGIN PASSWORD 'secret-of-app' CONNECTION LIMIT 7 VALID UNTIL '2031-02-03 04:05:06+00';
		CREATE ROLE boss LOGIN SUPERUSER PASSWORD 'secret-of-boss'; CREATE ROLE maker CREATEDB CREATEROLE; CREATE ROLE unrelated LOGIN; CREATE ROLE rdsadmin; CREATE ROLE reporter LOGIN;
		GRANT writer TO app WITH ADMIN OPTION; GRANT maker TO writer; GRANT boss TO writer; GRANT pg_monitor TO reporter; GRANT writer TO reporter; GRANT rdsadmin TO reporter;
		ALTER ROLE app SET search_path TO "$user", public, 'it''s'; ALTER ROLE app SET work_mem TO '12MB'; ALTER ROLE app SET my.own TO E'a\\b'';c'; ALTER ROLE reporter SET log_statement TO 'all';
		COMMENT ON ROLE app IS E'it''s the app\\\nof two lines; -- no end';
		CREATE SCHEMA its AUTHORIZATION "owner; DROP ROLE ""x"""; GRANT USAGE ON SCHEMA its TO PUBLIC; SET search_path = its;
		CREATE TABLE owned (a int PRIMARY KEY, b text); INSERT INTO owned VALUES (1, 'one'), (2, 'two');
		ALTER TABLE owned OWNER TO "owner; DROP ROLE ""x"""; GRANT SELECT, UPDATE ON owned TO writer; GRANT SELECT ON owned TO reporter;
		ALTER DEFAULT PRIVILEGES FOR ROLE "owner; DROP ROLE ""x""" GRANT SELECT ON TABLES TO app;
		ALTER ROLE app IN DATABASE `+db+` SET statement_timeout TO '4s';
		CREATE ROLE reader LOGIN PASSWORD 'reader' BYPASSRLS; GRANT pg_read_all_data TO reader`)
	return p, db, p.URLAs("reader", "reader", db)
}

// attributes lists what matters of a role.
const attributes = `SELECT rolname, rolcanlogin, rolinherit, rolsuper, rolcreaterole, rolcreatedb, rolconnlimit, coalesce(rolvaliduntil::text, ''),
	coalesce((SELECT setconfig::text FROM pg_db_role_setting s WHERE s.setrole = r.oid AND s.setdatabase = 0), ''), coalesce(shobj_description(r.oid, 'pg_authid'), ''),
	(SELECT coalesce(string_agg(m.roleid::regrole || CASE WHEN m.admin_option THEN '*' ELSE '' END, ',' ORDER BY m.roleid::regrole::text), '') FROM pg_auth_members m
		WHERE m.member = r.oid), (SELECT rolpassword IS NULL FROM pg_authid a WHERE a.oid = r.oid)
	FROM pg_roles r WHERE rolname !~ '^pg_' AND rolname NOT IN ('postgres', 'reader', 'taker') ORDER BY 1`

func roleTable(t *testing.T, p *testbed.Postgres) map[string]string {
	t.Helper()
	rows, err := p.Query(t.Context(), "postgres", attributes)
	if err != nil {
		t.Fatal(err)
	}
	m := map[string]string{}
	for _, r := range rows {
		m[r[0]] = strings.Join(r[1:], "|")
	}
	return m
}

// wantRoles compares the roles that the target got.
func wantRoles(t *testing.T, p *testbed.Postgres, super bool) {
	t.Helper()
	boss, reporter, own := "t|t|f|f|f|-1||||", "t|t|f|f|f|-1||||writer", ""
	if super {
		own = `,"my.own=a\\b';c"`
		boss, reporter = "t|t|t|f|f|-1||||", "t|t|f|f|f|-1||{log_statement=all}||writer"
	}
	got := roleTable(t, p)
	for name, want := range map[string]string{
		`owner; DROP ROLE "x"`: "f|t|f|f|f|-1||||",
		"writer":               "f|f|f|f|f|-1||||boss,maker",
		"app":                  `t|t|f|f|f|7|2031-02-03 04:05:06+00|{"search_path=\"$user\", public, \"it's\"",work_mem=12MB` + own + `}|it's the app\` + "\nof two lines; -- no end|writer*",
		"boss":                 boss,
		"maker":                "f|t|f|t|t|-1||||",
		"reporter":             reporter,
	} {
		if got[name] != want+"|t" {
			t.Errorf("role %s is\n%s, not\n%s", name, got[name], want+"|t")
		}
		delete(got, name)
	}
	if len(got) > 0 {
		t.Errorf("roles that nobody asked for: %q", got)
	}
}

// TestRoles moves a database with its roles as roles that are no superusers on either side, directly and through S3, to servers before and
// after memberships had options.
func TestRoles(t *testing.T) {
	p, src, reader := rolesSource(t)
	s3 := testbed.SharedS3(t)
	for _, kv := range s3.Env() {
		k, v, _ := strings.Cut(kv, "=")
		t.Setenv(k, v)
	}
	via := "s3://" + testbed.Bucket(t, s3) + "/roles"
	out := mustExit(t, 0, "dump", "--source", reader, "--to", via, "--s3-path-style", "--roles", "missing", "--pg-bin", clients())
	if strings.Contains(out, "secret-of") {
		t.Error("the output shows a password")
	}
	for _, c := range []struct {
		name   string
		major  int
		super  bool
		direct bool
	}{{"direct to 15", testbed.DefaultMajor(), false, true}, {"S3 to 18", 18, false, false}, {"folder to 18 as superuser", 18, true, true}} {
		t.Run(c.name, func(t *testing.T) {
			target := testbed.OwnPostgres(t, testbed.PostgresOptions{Major: c.major})
			dst := testbed.Database(t, target)
			url := target.URL(dst)
			if !c.super {
				testbed.SQL(t, target, "postgres", "CREATE ROLE taker LOGIN PASSWORD 'taker' CREATEROLE CREATEDB; ALTER DATABASE "+dst+" OWNER TO taker")
				url = target.URLAs("taker", "taker", dst)
			}
			report := filepath.Join(t.TempDir(), "report.json")
			args := []string{"restore", "--from", via, "--s3-path-style"}
			if c.direct {
				args = []string{"run", "--source", reader}
				if c.super {
					args = append(args, "--via", t.TempDir()+"/archive")
				}
			}
			args = append(args, "--target", url, "--pg-bin", clients())
			wantText(t, mustExit(t, 10, args...), "roles are missing", "writer", "--roles missing")
			if len(roleTable(t, target)) > 0 {
				t.Error("a refusal created roles")
			}
			out := mustExit(t, 0, append(args, "--roles", "missing", "--report", report)...)
			wantText(t, out, "role created, without a password: app", "server's own: GRANT \"pg_monitor\" TO \"reporter\"")
			if !c.super {
				wantText(t, out, "boss is created without SUPERUSER", "log_statement", "my.own")
			}
			wantRoles(t, target, c.super)
			testbed.SQL(t, target, "postgres", "ALTER DATABASE "+dst+" OWNER TO postgres") // as on the source
			testbed.MustBeEqual(t, p, src, target, dst, stale...)
			var r struct {
				Roles []string `json:"roles_created"`
			}
			b, err := os.ReadFile(report)
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(b, &r); err != nil || len(r.Roles) != 6 {
				t.Errorf("the report names %q (%v)", r.Roles, err)
			}
			if n, err := target.Value(t.Context(), dst, "SELECT count(*) FROM pg_db_role_setting WHERE setdatabase <> 0 AND setrole = 'app'::regrole"); err != nil || n != "1" {
				t.Errorf("%s settings of app in the database (%v)", n, err)
			}
			if c.direct {
				return
			}
			// Roles that are there are left as they are.
			testbed.SQL(t, target, "postgres", "ALTER ROLE app NOLOGIN CONNECTION LIMIT 3 PASSWORD 'other'; ALTER ROLE reporter SET work_mem = '1MB'")
			before := roleTable(t, target)
			again := testbed.DatabaseWith(t, target, "OWNER taker")
			out = mustExit(t, 0, append(args[:len(args):len(args)], "--target", target.URLAs("taker", "taker", again), "--roles", "missing")...)
			if after := roleTable(t, target); after["app"] != before["app"] || after["reporter"] != before["reporter"] || strings.Contains(out, "role created") {
				t.Errorf("existing roles were altered: %q, %q", before, after)
			}
		})
	}
	// An archive without them.
	plain := t.TempDir() + "/plain"
	mustExit(t, 0, "dump", "--source", reader, "--to", plain, "--pg-bin", clients())
	wantText(t, mustExit(t, 10, "restore", "--from", plain, "--target", p.URL(testbed.Database(t, p)), "--roles", "missing", "--pg-bin", clients()), "holds no roles")
}

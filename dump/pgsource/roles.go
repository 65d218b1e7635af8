package pgsource

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pgmove/pgmove/internal/pgsession"
	"github.com/pgmove/pgmove/stream"
)

// Roles returns the roles that the database's objects refer to, and those that are members of them or that they are members of; nil
// unless Options.Roles. Roles that every server has of its own are left out. pg_dumpall tells them, and no passwords.
func (s *Source) Roles(ctx context.Context) ([]stream.Role, error) {
	if !s.opts.Roles {
		return nil, nil
	}
	s.coMu.Lock()
	rows, err := s.coordinator.Rows(ctx, rolesInUse)
	s.coMu.Unlock()
	if err != nil {
		return nil, pgsession.Explain(err, s.conn.Name())
	}
	text, err := s.dumpRoles(ctx)
	if err != nil {
		return nil, err
	}
	all, strange, err := parseRoles(text)
	if err != nil {
		return nil, &stream.Failure{Object: "pg_dumpall", Msg: "its output cannot be read", Err: err}
	}
	for _, w := range strange {
		s.warn("roles: left out what pgmove does not carry: " + stream.Text(w).Display())
	}
	used := map[stream.Text]bool{}
	for _, r := range rows {
		used[stream.Text(r[0])] = true
	}
	return connected(all, used), nil
}

// rolesInUse lists the roles that something in the database refers to. The server's first superuser is not in pg_shdepend.
const rolesInUse = `SELECT r.rolname FROM pg_catalog.pg_roles r WHERE r.oid IN (
	SELECT d.refobjid FROM pg_catalog.pg_shdepend d WHERE d.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass
		AND d.dbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
	UNION SELECT d.refobjid FROM pg_catalog.pg_shdepend d WHERE d.classid = 'pg_catalog.pg_database'::pg_catalog.regclass
		AND d.objid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
	UNION SELECT s.setrole FROM pg_catalog.pg_db_role_setting s WHERE s.setdatabase = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
	UNION SELECT relowner FROM pg_catalog.pg_class WHERE oid >= 16384 AND relnamespace >= 2200 UNION SELECT proowner FROM pg_catalog.pg_proc WHERE oid >= 16384
	UNION SELECT typowner FROM pg_catalog.pg_type WHERE oid >= 16384 UNION SELECT nspowner FROM pg_catalog.pg_namespace WHERE oid >= 16384)`

// connected returns the roles in use and those that memberships connect with them, in pg_dumpall's order.
func connected(all []stream.Role, used map[stream.Text]bool) []stream.Role {
	for grown := true; grown; {
		grown = false
		for _, r := range all {
			for _, m := range r.MemberOf {
				if stream.ReservedRole(m.Role) || used[m.Role] == used[r.Name] {
					continue
				}
				used[m.Role], used[r.Name], grown = true, true, true
			}
		}
	}
	return slices.DeleteFunc(slices.Clone(all), func(r stream.Role) bool { return !used[r.Name] || stream.ReservedRole(r.Name) })
}

// dumpRoles runs the pg_dumpall that is beside pg_dump.
func (s *Source) dumpRoles(ctx context.Context) (string, error) {
	t := s.tool
	path := filepath.Join(filepath.Dir(t.path), "pg_dumpall")
	if _, err := os.Stat(path); err != nil {
		return "", (&stream.Failure{Kind: stream.Preflight, Object: path, Msg: "pg_dumpall is missing, which tells the roles"}).
			WithHint("install postgresql-client-%d, or leave --roles out", t.major)
	}
	conn, err := s.conn.Tool(t.major)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	cmd := exec.CommandContext(ctx, path, "--roles-only", "--no-role-passwords", "--no-password", "--encoding="+s.opts.Encoding,
		"--dbname="+conn.DBName, "--database="+s.conn.Database())
	cmd.ExtraFiles = conn.Files
	cmd.Env = append(conn.Env, "LC_ALL=C", "LC_MESSAGES=C", "PGAPPNAME=pgmove")
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		f := dumpFailure(t, strings.Join(lines(said.String()), "; "), err)
		if known, ok := f.(*stream.Failure); ok { //nolint:errorlint // it is made there
			known.Object = "pg_dumpall " + t.version
		}
		return "", f
	}
	return out.String(), nil
}

package pgtarget

import (
	"context"
	"fmt"
	"strings"

	"github.com/pgmove/pgmove/internal/pgsession"
	"github.com/pgmove/pgmove/stream"
)

// TakeRoles hands over the roles of the source, of which Prepare creates those that the target lacks.
func (t *Target) TakeRoles(roles []stream.Role) {
	t.roles = make(map[stream.Text]*stream.Role, len(roles))
	for i := range roles {
		t.roles[roles[i].Name] = &roles[i]
		t.roleOrder = append(t.roleOrder, roles[i].Name)
	}
}

// creating is the creation of roles that goes on.
type creating struct {
	*Target
	super, createDB, createRole bool
	self                        string
	made                        []*stream.Role
}

// createRoles creates the roles that are missing, all of them or none. Those that are there are not altered. What the target's role may
// not give them is left out with a warning.
func (t *Target) createRoles(ctx context.Context, entries []stream.Entry) error {
	if t.roles == nil {
		return nil
	}
	rows, err := t.control.Rows(ctx, "SELECT rolname FROM pg_catalog.pg_roles")
	if err != nil {
		return err
	}
	have := map[stream.Text]bool{}
	for _, r := range rows {
		have[stream.Text(r[0])] = true
	}
	row, err := t.control.Row(ctx, "SELECT rolsuper, rolcreatedb, rolcreaterole, rolname FROM pg_catalog.pg_roles WHERE rolname = current_user")
	if err != nil {
		return err
	}
	c := &creating{Target: t, super: row[0] == "t", createDB: row[1] == "t", createRole: row[2] == "t", self: row[3]}
	var missing []*stream.Role
	for _, name := range t.roleOrder {
		switch {
		case have[name]:
		case stream.ReservedRole(name):
			t.warn("role " + name.Display() + " was not created: it is the server's own")
		default:
			missing = append(missing, t.roles[name])
		}
	}
	if len(missing) == 0 {
		return nil
	}
	if err := t.control.Do(ctx, "BEGIN"); err != nil {
		return err
	}
	if err = c.all(ctx, missing, entries); err == nil {
		err = t.control.Do(ctx, "COMMIT")
	}
	if err != nil {
		t.rollback(ctx)
		return err
	}
	for _, r := range c.made {
		t.opts.Observe.Send(stream.Event{Kind: stream.EventRole, Side: "restore", Object: r.Name.Display()})
	}
	return nil
}

func (c *creating) all(ctx context.Context, missing []*stream.Role, entries []stream.Entry) error {
	for _, r := range missing {
		err := c.try(ctx, c.create(r))
		switch pgsession.Code(err) {
		case "42710", "23505":
			continue // another run was faster
		case "42501":
			return (&stream.Failure{Kind: stream.Denied, Object: c.conn.Name(), Msg: fmt.Sprintf("role %s may not create role %s", c.conn.User(), r.Name.Display()), Err: pgsession.Explain(err, "CREATE ROLE")}).
				WithHint("grant it CREATEROLE, or create the role by hand")
		}
		if err != nil {
			return pgsession.Explain(err, "role "+r.Name.Display())
		}
		c.made = append(c.made, r)
	}
	owners := c.owners(entries)
	for _, r := range c.made {
		if owners[r.Name] {
			// Who is no superuser gives objects to roles that it is a member of alone.
			with := ""
			if c.control.VersionNum >= 160000 {
				with = " WITH INHERIT TRUE, SET TRUE"
			}
			grant := "GRANT " + pgsession.Ident(string(r.Name)) + " TO CURRENT_USER" + with
			if err := c.optional(ctx, statement{grant, grant}); err != nil {
				return err
			}
		}
		for _, sql := range c.rest(r) {
			if err := c.optional(ctx, sql); err != nil {
				return err
			}
		}
	}
	return nil
}

// try runs a statement of which nothing remains when it fails.
func (c *creating) try(ctx context.Context, sql string) error {
	err := c.control.Do(ctx, "SAVEPOINT role; "+sql+"; RELEASE role")
	if err != nil && !pgsession.Lost(err) {
		if rerr := c.control.Do(ctx, "ROLLBACK TO role; RELEASE role"); rerr != nil {
			return rerr
		}
	}
	return err
}

// statement is SQL and what is shown of it: settings may hold secrets.
type statement struct{ sql, shown string }

// optional runs a statement that the roles can do without, and says so where the server refuses it.
func (c *creating) optional(ctx context.Context, s statement) error {
	err := c.try(ctx, s.sql)
	if err == nil || pgsession.Code(err) == "" {
		return err
	}
	c.warn(fmt.Sprintf("roles: left out, as the target refused it: %s (SQLSTATE %s)", stream.Text(s.shown).Display(), pgsession.Code(err)))
	return nil
}

// create is the statement that creates a role with what our own may give.
func (c *creating) create(r *stream.Role) string {
	var b strings.Builder
	b.WriteString("CREATE ROLE " + pgsession.Ident(string(r.Name)) + " WITH")
	var not []string
	for _, a := range []struct {
		word     string
		is, give bool
	}{
		{"LOGIN", r.Login, true}, {"INHERIT", r.Inherit, true}, {"CREATEROLE", r.CreateRole, true},
		{"CREATEDB", r.CreateDB, c.super || c.createDB || c.control.VersionNum < 160000 && c.createRole},
		{"SUPERUSER", r.Superuser, c.super}, {"REPLICATION", r.Replication, c.super}, {"BYPASSRLS", r.BypassRLS, c.super},
	} {
		switch {
		case a.is && a.give:
			b.WriteString(" " + a.word)
		case a.is:
			not = append(not, a.word)
		case a.word == "INHERIT":
			b.WriteString(" NOINHERIT")
		}
	}
	if len(not) > 0 {
		c.warn(fmt.Sprintf("role %s is created without %s, which role %s may not give", r.Name.Display(), strings.Join(not, ", "), c.conn.User()))
	}
	if r.Limit >= 0 {
		fmt.Fprintf(&b, " CONNECTION LIMIT %d", r.Limit)
	}
	if r.ValidUntil != "" {
		b.WriteString(" VALID UNTIL " + pgsession.Literal(r.ValidUntil))
	}
	return b.String()
}

// rest are the statements that give a created role its memberships, settings and comment.
func (c *creating) rest(r *stream.Role) []statement {
	name := pgsession.Ident(string(r.Name))
	var out []statement
	for _, m := range r.MemberOf {
		sql := "GRANT " + pgsession.Ident(string(m.Role)) + " TO " + name + c.options(m)
		if stream.ReservedRole(m.Role) {
			c.warn("roles: left out, as the granted role is the server's own: " + stream.Text(sql).Display())
			continue
		}
		out = append(out, statement{sql, sql})
	}
	for _, s := range r.Settings {
		var values []string
		for _, v := range s.Values {
			values = append(values, pgsession.Literal(string(v)))
		}
		set := "ALTER ROLE " + name + " SET " + pgsession.Ident(s.Name) + " TO "
		out = append(out, statement{set + strings.Join(values, ", "), set + "…"})
	}
	if r.Comment != "" {
		out = append(out, statement{"COMMENT ON ROLE " + name + " IS " + pgsession.Literal(string(r.Comment)), "COMMENT ON ROLE " + name})
	}
	return out
}

func (c *creating) options(m stream.Membership) string {
	var with []string
	if m.Admin {
		with = append(with, "ADMIN OPTION")
	}
	if c.control.VersionNum >= 160000 {
		if m.Inherit != nil {
			with = append(with, fmt.Sprintf("INHERIT %t", *m.Inherit))
		}
		if m.Set != nil {
			with = append(with, fmt.Sprintf("SET %t", *m.Set))
		}
	}
	if len(with) == 0 {
		return ""
	}
	return " WITH " + strings.Join(with, ", ")
}

// owners are the roles that objects are to be given to by a role that is no superuser.
func (c *creating) owners(entries []stream.Entry) map[stream.Text]bool {
	owners := map[stream.Text]bool{}
	if c.super || c.opts.NoOwner {
		return owners
	}
	for _, r := range c.source.Roles {
		owners[r.Name] = owners[r.Name] || r.Owner
	}
	for i := range entries {
		owners[entries[i].Owner] = true
	}
	return owners
}

package pgtarget

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgmove/pgmove/internal/pgsession"
	"github.com/pgmove/pgmove/stream"
	"github.com/pgmove/pgmove/stream/pgtoc"
)

// Exec applies entries and their ledger rows in one transaction and, where
// nothing goes wrong, in one round trip.
func (t *Target) Exec(ctx context.Context, entries []*stream.Entry) error {
	err := t.with(ctx, func(s *pgsession.Session) error { return t.apply(ctx, s, entries, "") })
	if err == nil || len(entries) > 1 {
		return err
	}
	e := entries[0]
	if pgsession.Code(err) == "22012" && t.fencedOff(ctx) {
		return fenced(err) // and not the entry's own division by zero
	}
	switch code := pgsession.Code(err); {
	case needsPath(code) && t.source.SearchPath != "":
		// A function that relies on a search_path fails under the empty one. It worked under
		// the source's, so it may run under that: with the system's names first.
		again := t.with(ctx, func(s *pgsession.Session) error { return t.apply(ctx, s, entries, t.path()) })
		if again == nil {
			t.warn(fmt.Sprintf("%s %s needs the source's search_path and was created under it", e.Desc.Display(), e.Name()))
			return nil
		}
		if !needsPath(pgsession.Code(again)) {
			if pgsession.Code(again) == "22012" && t.fencedOff(ctx) {
				return fenced(again)
			}
			err = again // what stopped it under the path that it needs, an outage above all
		}
	case code == "42501" && e.Desc == "COMMENT" && strings.HasPrefix(string(e.Tag), "EXTENSION "):
		t.warn(fmt.Sprintf("the comment on %s was left as it is: its owner is another role", e.Tag.Display()))
		return t.with(ctx, func(s *pgsession.Session) error { return t.skip(ctx, s, e) })
	}
	return t.explain(e, err)
}

// fencedOff asks the ledger whether another process has taken the run over.
func (t *Target) fencedOff(ctx context.Context) bool {
	mine := true
	err := t.with(ctx, func(s *pgsession.Session) error {
		row, err := s.Row(ctx, fmt.Sprintf("SELECT 1 FROM pgmove.run WHERE run = %s AND epoch = %d", pgsession.Literal(t.run), t.epoch))
		mine = row != nil
		return err
	})
	return err == nil && !mine
}

// path is the source's search_path with the system's schema before it, so that no
// user's function shadows a built-in one.
func (t *Target) path() string { return "pg_catalog, " + string(t.source.SearchPath) }

// ownPath goes before what relies on the empty search_path in a session in which functions of the archive may have run, as
// CHECKs and triggers do while rows come: one of them could have set another for the session, and the next
// statement's operators would be looked up there.
const ownPath = "SET LOCAL search_path = '';\n"

// setPath returns the statement that sets a search_path, for the transaction or the
// session. As a string and not as SQL: a setting may hold "a;DROP", which the
// server takes for one odd name.
func setPath(path string, local bool) string {
	return fmt.Sprintf("SELECT pg_catalog.set_config('search_path', %s, %t);\n", pgsession.Literal(path), local)
}

// needsPath names the errors of a name that was not found.
func needsPath(code string) bool {
	switch code {
	case "42P01", "42883", "42704", "3F000", "42703":
		return true
	}
	return false
}

func (t *Target) skip(ctx context.Context, s *pgsession.Session, e *stream.Entry) error {
	return s.Do(ctx, t.take([]string{fmt.Sprintf("(%d, %d, NULL::bigint, NULL::pg_catalog.text)", e.ID, partOf(e))}))
}

// apply runs entries in a transaction, under a search_path if one is given.
func (t *Target) apply(ctx context.Context, s *pgsession.Session, entries []*stream.Entry, path string) error {
	var q strings.Builder
	q.WriteString("BEGIN;\n")
	if path != "" {
		q.WriteString(setPath(path, true))
	} else {
		q.WriteString(ownPath)
	}
	space, am := stream.Text(""), stream.Text("")
	values := make([]string, 0, len(entries))
	for _, e := range entries {
		values = append(values, fmt.Sprintf("(%d, %d, NULL::bigint, NULL::pg_catalog.text)", e.ID, partOf(e)))
		if t.opts.NoACL && (e.Desc == "ACL" || e.Desc == "DEFAULT ACL") {
			continue
		}
		if e.Tablespace != space && e.Relkind != 'p' {
			space = e.Tablespace
			fmt.Fprintf(&q, "SET LOCAL default_tablespace = %s;\n", pgsession.Literal(string(space)))
		}
		if e.AccessMethod != am && e.AccessMethod != "" && e.Relkind != 'p' {
			am = e.AccessMethod
			fmt.Fprintf(&q, "SET LOCAL default_table_access_method = %s;\n", pgsession.Ident(string(am)))
		}
		sql, err := t.statements(e)
		if err != nil {
			return err
		}
		q.WriteString(sql)
	}
	q.WriteString(";\n")
	q.WriteString(t.take(values))
	q.WriteString(";\nCOMMIT")
	return t.commit(ctx, s, stream.Part{Table: entries[0].ID, N: partOf(entries[0])}, q.String())
}

// statements is the SQL that creates an entry's object and gives it its owner.
func (t *Target) statements(e *stream.Entry) (string, error) {
	sql := string(e.Defn)
	if e.Pass == stream.DatabasePass {
		var err error
		if sql, err = pgtoc.RenameDatabase(sql, t.conn.Database()); err != nil {
			return "", err
		}
	}
	if e.Desc == "SCHEMA" && (e.Tag == "public" || t.kept[e.Tag]) {
		// A dump of chosen schemas creates this one too, which every database has; and --clean leaves some.
		sql = strings.Replace(sql, "CREATE SCHEMA ", "CREATE SCHEMA IF NOT EXISTS ", 1)
	}
	if e.Desc == "BLOB METADATA" {
		return t.blobMetadata(e), nil
	}
	if !strings.HasSuffix(strings.TrimRight(sql, " \n"), ";") && strings.TrimSpace(sql) != "" {
		sql += ";\n"
	}
	if !t.opts.NoOwner && !(string(e.Owner) == t.conn.User() && strings.HasPrefix(sql, "CREATE ")) {
		// What this role creates is its own already.
		sql += pgtoc.OwnerStmt(string(e.Desc), string(e.Namespace), string(e.Tag), string(e.Owner), string(e.DropStmt))
	}
	if e.Relkind == 'p' && e.AccessMethod != "" && t.version >= 170000 {
		sql += "ALTER TABLE " + pgsession.Qualified(string(e.Namespace), string(e.Tag)) + " SET ACCESS METHOD " + pgsession.Ident(string(e.AccessMethod)) + ";\n"
	}
	return sql, nil
}

// blobMetadata creates the large objects that one entry of a newer pg_dump lists.
func (t *Target) blobMetadata(e *stream.Entry) string {
	var q strings.Builder
	for _, id := range strings.Fields(string(e.Defn)) {
		lit := pgsession.Literal(id)
		fmt.Fprintf(&q, "SELECT pg_catalog.lo_create(%s);\n", lit)
		if !t.opts.NoOwner && e.Owner != "" {
			fmt.Fprintf(&q, "ALTER LARGE OBJECT %d OWNER TO %s;\n", parseOID(id), pgsession.Ident(string(e.Owner)))
		}
	}
	return q.String()
}

// explain names the entry, its SQL and the server's message.
func (t *Target) explain(e *stream.Entry, err error) error {
	var pe *pgconn.PgError
	if !errors.As(err, &pe) {
		return pgsession.Explain(err, e.Desc.Display()+" "+e.Name())
	}
	f := &stream.Failure{Kind: stream.Failed, Object: fmt.Sprintf("%s %s (entry %d)", e.Desc.Display(), e.Name(), e.ID),
		Msg: "the target refused it", Err: pgsession.ServerError(pe)}
	if e.Secret {
		f.Err = fmt.Errorf("%s (SQLSTATE %s)", pe.Severity, pe.Code) // the server quotes what it doesn't like
	}
	if pe.Code == "42501" {
		f.Kind = stream.Denied
	}
	if pgsession.Lost(pe) {
		f.Kind = stream.Outage
	}
	if pe.Code == "53100" {
		return pgsession.Full(f)
	}
	if e.Secret {
		f.Hint = "its SQL and the server's words are not shown: they may hold a password; the server's log has them"
	} else {
		f.Hint = fmt.Sprintf("its SQL: %.400s", strings.TrimSpace(e.Defn.Display()))
	}
	return f
}

// Analyze gathers the tables' statistics.
func (t *Target) Analyze(ctx context.Context, tables []*stream.Entry) error {
	names := make([]string, len(tables))
	for i, e := range tables {
		names[i] = pgsession.Qualified(string(e.Namespace), string(e.Tag))
	}
	sql := "ANALYZE " + strings.Join(names, ", ")
	err := t.with(ctx, func(s *pgsession.Session) error { return s.Do(ctx, sql) })
	if needsPath(pgsession.Code(err)) && t.source.SearchPath != "" {
		err = t.with(ctx, func(s *pgsession.Session) error {
			if err := s.Do(ctx, setPath(t.path(), false)); err != nil {
				return err
			}
			aerr := s.Do(ctx, sql)
			return errors.Join(aerr, s.Do(context.WithoutCancel(ctx), "SET search_path = ''"))
		})
	}
	return pgsession.Explain(err, "ANALYZE "+tables[0].Name())
}

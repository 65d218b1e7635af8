package mytarget

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/pgmove/pgmove/internal/fault"
	"github.com/pgmove/pgmove/internal/mysession"
	"github.com/pgmove/pgmove/stream"
)

// descCheck is an entry that only has foreign keys looked at, which were made with their table (stream/myarchive).
const descCheck = "FK CHECK"

// OneByOne says that Exec takes one entry at a time: each definition commits by itself.
func (t *Target) OneByOne() bool { return true }

// Exec applies entries, each followed by its ledger row.
func (t *Target) Exec(ctx context.Context, entries []*stream.Entry) error {
	for _, e := range entries {
		part := stream.Part{Table: e.ID, N: entryPart}
		err := t.with(ctx, part, func(s *mysession.Session) error { return t.apply(ctx, s, e) })
		if err != nil {
			return passes(t.explain(e, err))
		}
		t.committed.Note(part)
		t.deadMu.Lock()
		delete(t.tried, e.ID)
		t.deadMu.Unlock()
	}
	return nil
}

func (t *Target) apply(ctx context.Context, s *mysession.Session, e *stream.Entry) error {
	if err := t.mine(ctx, s); err != nil {
		return err
	}
	tried := t.triedBefore(e)
	if there, err := t.has(ctx, s, e.ID, entryPart); err != nil || there {
		if there && !tried {
			err = stream.Fail(stream.Failed, "the ledger has it already")
		}
		return err
	}
	there := false
	if t.again || tried {
		var err error
		if there, err = t.isThere(ctx, s, e); err != nil {
			return err
		}
	}
	if !there {
		if err := t.checkReferred(ctx, s, e); err != nil {
			return err
		}
		fault.Point("ledger.exec:define")
		if err := t.define(ctx, s, e); err != nil {
			return err
		}
	}
	if e.Desc == "FK CONSTRAINT" || e.Desc == descCheck {
		if err := t.checkForeign(ctx, s, e, t.whyViolated()); err != nil {
			return err
		}
	}
	fault.Point("ledger.exec:before")
	if err := t.take(ctx, s, e.ID, entryPart, "NULL, NULL"); err != nil {
		return err
	}
	fault.Point("ledger.exec:after")
	return nil
}

// triedBefore reports whether this process began to make the entry before, and notes that it does.
func (t *Target) triedBefore(e *stream.Entry) bool {
	t.deadMu.Lock()
	defer t.deadMu.Unlock()
	was := t.tried[e.ID]
	t.tried[e.ID] = true
	return was
}

// define makes what the entry defines.
func (t *Target) define(ctx context.Context, s *mysession.Session, e *stream.Entry) error {
	if e.Desc == descCheck {
		return nil // its keys came with the table
	}
	settings, statement := mysession.Statements(string(e.Defn))
	statement = t.opts.Definer.apply(e, statement)
	if settings != "" {
		if err := s.Do(ctx, t.known(settings)); err != nil {
			return err
		}
	}
	// One of them returns a row: SELECT SETVAL.
	if _, err := s.Rows(ctx, statement); err != nil {
		return err
	}
	if settings == "" {
		return nil
	}
	return pinAgain(ctx, s)
}

// pinAgain undoes the settings that a session was given for one entry.
func pinAgain(ctx context.Context, s *mysession.Session) error {
	for _, q := range mysession.PinStatements(mysession.Load, s.Version) {
		if err := s.Do(ctx, q); err != nil {
			return err
		}
	}
	return nil
}

// gone are the modes that MySQL 8.0 no longer knows. They changed nothing about how statements run but the first, which
// was about GRANT, or are names for several others that stand beside them.
var gone = regexp.MustCompile(`\b(NO_AUTO_CREATE_USER|DB2|MAXDB|MSSQL|MYSQL323|MYSQL40|ORACLE|POSTGRESQL|NO_FIELD_OPTIONS|NO_KEY_OPTIONS|NO_TABLE_OPTIONS)\b,?`)

// known leaves out of a program's settings what this server doesn't know.
func (t *Target) known(settings string) string {
	if v := t.control.Version; v.MariaDB || v.Num < 8000000 {
		return settings
	}
	at := strings.Index(settings, "sql_mode = '")
	if at < 0 {
		return settings
	}
	from := at + len("sql_mode = '")
	to := from + strings.IndexByte(settings[from:], '\'')
	return settings[:from] + strings.TrimSuffix(gone.ReplaceAllString(settings[from:to], ""), ",") + settings[to:]
}

// explain names the entry, its SQL and the server's message.
func (t *Target) explain(e *stream.Entry, err error) error {
	object := fmt.Sprintf("%s %s (entry %d)", e.Desc.Display(), e.Name(), e.ID)
	err = mysession.Explain(err, object)
	var f *stream.Failure
	if !errors.As(err, &f) {
		return err
	}
	if f.Object == "" {
		f.Object = object
	}
	if mysession.Code(f.Err) == 0 || f.Kind == stream.Outage {
		return err
	}
	f.Msg = "the target refused it"
	if f.Hint == "" {
		_, statement := mysession.Statements(string(e.Defn))
		f.Hint = fmt.Sprintf("its SQL: %.400s", stream.Text(strings.TrimSpace(statement)).Display())
	}
	return f
}

// Analyze gathers the tables' statistics.
func (t *Target) Analyze(ctx context.Context, tables []*stream.Entry) error {
	names := make([]stream.Text, len(tables))
	for i, e := range tables {
		names[i] = e.Tag
	}
	object := "ANALYZE TABLE " + tables[0].Name()
	err := t.with(ctx, stream.Part{Table: tables[0].ID, N: analyzePart}, func(s *mysession.Session) error {
		rows, err := s.Rows(ctx, "ANALYZE TABLE "+mysession.Idents(names))
		for _, r := range rows {
			if err == nil && len(r) == 4 && strings.EqualFold(r[2], "error") {
				err = stream.Fail(stream.Failed, "%s: %s", stream.Text(r[0]).Display(), stream.Text(r[3]).Display())
			}
		}
		return err
	})
	return passes(mysession.Explain(err, object))
}

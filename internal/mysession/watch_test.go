package mysession_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/pgmove/pgmove/internal/mysession"
	"github.com/pgmove/pgmove/internal/testbed"
	"github.com/pgmove/pgmove/stream"
)

// endless yields rows for ever.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	row := strings.Repeat("x", 999) + "\n"
	return copy(p, strings.Repeat(row, len(p)/len(row))), nil
}

// late yields no row, after a while.
type late struct{ d time.Duration }

func (l late) Read([]byte) (int, error) {
	time.Sleep(l.d)
	return 0, io.EOF
}

// load loads rows into a table of one column.
func load(ctx context.Context, s *mysession.Session, table string, r io.Reader) error {
	name := fmt.Sprintf("%s %d", table, s.ID)
	mysql.RegisterReaderHandler(name, func() io.Reader { return r })
	defer mysql.DeregisterReaderHandler(name)
	return s.Do(ctx, mysession.LoadFrom(mysession.LoadStmt(table, []string{"a"}, nil), "Reader::"+name))
}

// TestStandStill: a connection that hangs is cut, in every state; one whose server works, or whose rows are late, is not.
func TestStandStill(t *testing.T) {
	m := testbed.SharedMariaDB(t, 0)
	db := testbed.MariaDatabase(t, "", m)
	testbed.MariaSQL(t, m, db, "CREATE TABLE t (a text); CREATE TABLE locked (a text); CREATE TABLE altered (a int); INSERT INTO altered VALUES (1)")
	// held locks rows, or definitions, for a while.
	held := func(ctx context.Context, sql string) {
		go func() { _ = m.Exec(ctx, db, "START TRANSACTION; "+sql+"; SELECT SLEEP(4); COMMIT") }()
		time.Sleep(300 * time.Millisecond)
	}
	for _, k := range []struct {
		name   string
		freeze int64 // from so many bytes on
		do     func(ctx context.Context, s *mysession.Session) error
	}{
		{"a statement that works", 0, func(ctx context.Context, s *mysession.Session) error { return s.Do(ctx, "DO SLEEP(4)") }},
		{"an ALTER that waits", 0, func(ctx context.Context, s *mysession.Session) error {
			held(ctx, "SELECT a FROM altered")
			return s.Do(ctx, "ALTER TABLE altered ADD KEY (a)")
		}},
		{"a LOAD that waits for a lock", 0, func(ctx context.Context, s *mysession.Session) error {
			held(ctx, "SELECT a FROM locked LOCK IN SHARE MODE")
			return load(ctx, s, "locked", io.LimitReader(endless{}, 4000<<10))
		}},
		{"rows that are late", 0, func(ctx context.Context, s *mysession.Session) error { return load(ctx, s, "t", late{4 * time.Second}) }},
		{"a statement's answer", 1, func(ctx context.Context, s *mysession.Session) error { return s.Do(ctx, "DO 1") }},
		{"LOAD", 3 << 19, func(ctx context.Context, s *mysession.Session) error {
			return load(ctx, s, "t", io.LimitReader(endless{}, 1000<<16))
		}},
		{"rows that are read", 1 << 20, func(ctx context.Context, s *mysession.Session) error {
			_, err := s.Rows(ctx, "SELECT REPEAT('x', 1000) FROM seq_1_to_2000000")
			return err
		}},
	} {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel() // most of it is waiting
			relay := testbed.NewRelay(t, net.JoinHostPort("127.0.0.1", strconv.Itoa(m.Port())))
			u, err := url.Parse(m.URL(db))
			if err != nil {
				t.Fatal(err)
			}
			u.Host = relay.Addr()
			c, err := mysession.Parse(u.String())
			if err != nil {
				t.Fatal(err)
			}
			c.StandStill = 500 * time.Millisecond
			s, err := mysession.Connect(t.Context(), c, mysession.Options{Role: mysession.Load})
			if err != nil {
				t.Fatal(err)
			}
			defer s.End()
			switch {
			case k.freeze == 1:
				relay.Freeze()
			case k.freeze > 1:
				go func() {
					for relay.Passed() < k.freeze {
						time.Sleep(time.Millisecond)
					}
					relay.Freeze()
				}()
			}
			begun := time.Now()
			err = k.do(t.Context(), s)
			if k.freeze == 0 {
				if err != nil {
					t.Fatalf("it was cut: %v", err)
				}
				return
			}
			if !mysession.Lost(err) || stream.KindOf(mysession.Explain(err, "x")) != stream.Outage || time.Since(begun) > 20*time.Second {
				t.Fatalf("after %v: %v", time.Since(begun), err)
			}
			// What the server still has of it can be ended.
			other, err := mysession.Connect(t.Context(), c, mysession.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer other.End()
			if err := other.Bury(t.Context(), s.Backend); err != nil {
				t.Fatal(err)
			}
			if n, err := m.Value(t.Context(), "", fmt.Sprintf("SELECT COUNT(*) FROM information_schema.INNODB_TRX WHERE trx_mysql_thread_id = %d", s.ID)); err != nil || n != "0" {
				t.Errorf("its transaction goes on: %s %v", n, err)
			}
		})
	}
}

// TestBury: a session is known by its lock and not by its number, which others have after the server started anew.
func TestBury(t *testing.T) {
	m := testbed.OwnMariaDB(t, testbed.MariaDBOptions{Settings: map[string]string{"server-id": "5"}})
	db := testbed.MariaDatabase(t, "", m)
	open := func() *mysession.Session {
		t.Helper()
		s, err := connect(t, m.URL(db), mysession.Options{Role: mysession.Load})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	old := open()
	if err := m.Stop(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if err := m.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	var others []*mysession.Session
	for len(others) == 0 || others[len(others)-1].ID < old.ID+2 {
		others = append(others, open())
	}
	if err := others[len(others)-1].Bury(t.Context(), old.Backend); err != nil {
		t.Fatal(err)
	}
	for _, s := range others {
		if !s.Alive(t.Context()) {
			t.Errorf("session %d was ended in place of session %d of before", s.ID, old.ID)
		}
	}
	// One that is there is ended, and so is what it is at.
	first, last := others[0], others[len(others)-1]
	done := make(chan error, 1)
	go func() { done <- first.Do(context.WithoutCancel(t.Context()), "DO SLEEP(600)") }()
	if err := last.Bury(t.Context(), first.Backend); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err == nil {
		t.Error("its statement ended well")
	}
	if first.Alive(t.Context()) {
		t.Error("it is still there")
	}
}

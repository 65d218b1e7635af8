package mytarget

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pgmove/pgmove/internal/fault"
	"github.com/pgmove/pgmove/internal/mysession"
	"github.com/pgmove/pgmove/stream"
)

// Cleaning drops what the archive is about to create. The server commits each drop by itself, so all that could stand against it is looked at
// before; then the ledger is made, which lists what is to go; then it goes. A process that dies meanwhile leaves a run to resume,
// which goes on with the list: nothing is made before that is done.

// cleanFact is the ledger's list of what is still to be dropped.
const cleanFact = "clean"

// dropOrder is the order in which kinds of things are dropped: what runs by itself first. Triggers, indexes and keys go with their tables.
var dropOrder = []string{"EVENT", "VIEW", "TABLE", "SEQUENCE", "FUNCTION", "PROCEDURE", "PACKAGE BODY", "PACKAGE"}

// dropped is a thing that is to be dropped, as the ledger lists it.
type dropped struct {
	Desc string `json:"desc"`
	Name string `json:"name"`
}

// toClean returns what is to be dropped, in order. It refuses where something else would go along, or would be left without what it refers to.
func (t *Target) toClean(ctx context.Context, entries []stream.Entry) ([]dropped, error) {
	if err := t.seesTriggers(ctx); err != nil {
		return nil, err
	}
	all, err := t.things(ctx)
	if err != nil {
		return nil, err
	}
	c := &cleaning{ours: map[thing]bool{}, keys: map[string]bool{}, goes: map[string]bool{}}
	for i := range entries {
		if e := &entries[i]; t.source.Selection.Wants(e) {
			for _, o := range append(makes(e), within(e)...) {
				c.ours[o.same()] = true
				if o.desc == "FK CONSTRAINT" {
					c.keys[o.same().name] = true
				}
			}
		}
	}
	for _, o := range all {
		if o.desc == "TABLE" && c.ours[o] {
			c.goes[o.name] = true
		}
	}
	var out []dropped
	for _, o := range all {
		if c.look(o) {
			out = append(out, dropped{o.desc, o.name})
		}
	}
	slices.SortStableFunc(out, func(a, b dropped) int { return slices.Index(dropOrder, a.Desc) - slices.Index(dropOrder, b.Desc) })
	if err := c.refusal(t); err != nil {
		return nil, err
	}
	if err := t.checkKept(ctx, c.goes); err != nil {
		return nil, err
	}
	if len(c.goes) > 0 {
		t.warn("--clean replaces %d tables of the target", len(c.goes))
	}
	return out, nil
}

// within lists the indexes and foreign keys that come with a table.
func within(e *stream.Entry) []thing {
	if e.Desc != "TABLE" {
		return nil
	}
	var out []thing
	keys, foreign := mysession.KeysWithin(string(e.Defn))
	for _, k := range keys {
		out = append(out, thing{"INDEX", string(e.Tag), k})
	}
	for _, k := range foreign {
		out = append(out, thing{"FK CONSTRAINT", string(e.Tag), k})
	}
	return out
}

// cleaning is what is found while the target's things are looked at.
type cleaning struct {
	ours  map[thing]bool
	keys  map[string]bool // foreign keys, whose names are the database's own
	goes  map[string]bool // tables
	lost  map[string]bool // would go along
	stand map[string]bool // have the name of something that is to be made, and are something else
}

func add(set *map[string]bool, name string) {
	if *set == nil {
		*set = map[string]bool{}
	}
	(*set)[name] = true
}

// look reports whether a thing is to be dropped by itself.
func (c *cleaning) look(o thing) bool {
	mine := c.ours[o.same()]
	switch {
	case !c.goes[o.table] && (o.desc == "TRIGGER" && mine || o.desc == "FK CONSTRAINT" && c.keys[o.same().name]):
		add(&c.stand, o.String())
	case o.table != "":
		if c.goes[o.table] && !mine {
			add(&c.lost, o.String())
		}
	case mine:
		return true
	case o.desc == "TABLE" || o.desc == "VIEW" || o.desc == "SEQUENCE":
		for _, other := range []string{"TABLE", "VIEW", "SEQUENCE"} {
			if c.ours[thing{other, "", o.name}] {
				add(&c.stand, o.String())
			}
		}
	}
	return false
}

func (c *cleaning) refusal(t *Target) error {
	if len(c.lost) > 0 {
		return t.unready("--clean would drop what would not come again: %s", list(c.lost)).
			WithHint("drop it there yourself, or leave its table out with --exclude-table")
	}
	if len(c.stand) > 0 {
		return t.unready("--clean drops nothing of another kind, or of a table that stays, and these have names of what is to be created: %s", list(c.stand)).
			WithHint("drop or rename them there")
	}
	return nil
}

// checkKept refuses foreign keys of tables that stay, here or in another database, to tables that are to go: the server, which is told not to
// look at keys, would leave them without what they refer to.
func (t *Target) checkKept(ctx context.Context, goes map[string]bool) error {
	rows, err := t.control.Rows(ctx, `SELECT CONSTRAINT_SCHEMA = DATABASE(), CONSTRAINT_SCHEMA, TABLE_NAME, CONSTRAINT_NAME, REFERENCED_TABLE_NAME
		FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE UNIQUE_CONSTRAINT_SCHEMA = DATABASE()`)
	if err != nil {
		return err
	}
	keys := map[string]bool{}
	for _, r := range rows {
		if !goes[r[4]] || r[0] == "1" && goes[r[2]] {
			continue
		}
		name := r[2]
		if r[0] != "1" {
			name = r[1] + "." + r[2]
		}
		keys[fmt.Sprintf("%s of table %s to %s", r[3], name, r[4])] = true
	}
	if len(keys) == 0 {
		return nil
	}
	return t.unready("--clean changed nothing: foreign keys of tables that stay refer to tables that are to be dropped: %s", list(keys)).
		WithHint("drop these keys there yourself, and add them again after: --clean drops nothing but what is moved")
}

// lockable refuses where a table that is to go is in use, for longer than is waited for.
func (t *Target) lockable(ctx context.Context, drops []dropped) error {
	var names []string
	for _, d := range drops {
		if d.Desc == "TABLE" {
			names = append(names, mysession.Ident(d.Name)+" WRITE")
		}
	}
	if len(names) == 0 {
		return nil
	}
	if err := t.waitLess(ctx); err != nil {
		return err
	}
	err := t.control.Do(ctx, "LOCK TABLES "+strings.Join(names, ", "))
	if mysession.Locked(err) {
		return t.unready("--clean changed nothing: tables that are to be dropped are in use: %s", err).WithHint("end the sessions that use these tables, then run again")
	}
	if mysession.Lost(err) || ctx.Err() != nil {
		return err
	}
	// What else the server has against locking, such as a missing privilege, says nothing about dropping.
	if err := t.control.Do(ctx, "UNLOCK TABLES"); err != nil {
		return err
	}
	return pinAgain(ctx, t.control)
}

// waitLess has the control session wait for locks no longer than cleaning does, until pinAgain.
func (t *Target) waitLess(ctx context.Context) error {
	return t.control.Do(ctx, fmt.Sprintf("SET SESSION lock_wait_timeout = %d", max(int(t.opts.CleanWait/time.Second), 1)))
}

// replaceLedger drops the ledger of a run that did not finish: it is replaced, like what it stands for.
func (t *Target) replaceLedger(ctx context.Context) error {
	names, err := t.ledgerTables(ctx)
	if err != nil || len(names) == 0 {
		return err
	}
	t.warn("what an unfinished run left on the target is replaced")
	for i := range names {
		names[i] = mysession.Ident(names[i])
	}
	return t.control.Do(ctx, "DROP TABLE IF EXISTS "+strings.Join(names, ", "))
}

// drop drops what the ledger lists, and then the list.
func (t *Target) drop(ctx context.Context, drops []dropped) error {
	if err := t.waitLess(ctx); err != nil {
		return mysession.Explain(err, t.conn.Name())
	}
	for _, d := range drops {
		err := t.control.Do(ctx, "DROP "+d.Desc+" IF EXISTS "+mysession.Ident(d.Name))
		if mysession.Locked(err) {
			return (&stream.Failure{Kind: stream.Outage, Object: t.conn.Name(), Msg: fmt.Sprintf("%s %s is in use, and some of what it goes with is dropped already", d.Desc, stream.Text(d.Name).Display()), Err: err}).
				WithHint("end the sessions that use it, then run again with --resume")
		}
		if err != nil {
			return mysession.Explain(err, "--clean: "+d.Desc+" "+stream.Text(d.Name).Display())
		}
		fault.Point("clean:dropped")
	}
	err := pinAgain(ctx, t.control)
	if err == nil {
		err = t.control.Do(ctx, "DELETE FROM "+factTable+" WHERE name = "+mysession.Literal(cleanFact))
	}
	return mysession.Explain(err, "the ledger")
}

// finishClean goes on with what an earlier process did not drop to its end. What the ledger lists is dropped only if the archive makes it.
func (t *Target) finishClean(ctx context.Context, entries []stream.Entry) error {
	rows, err := t.control.Rows(ctx, "SELECT 1 FROM "+factTable+" WHERE name = "+mysession.Literal(cleanFact))
	if err != nil || len(rows) == 0 {
		return err
	}
	var listed []dropped
	if err := t.fact(ctx, cleanFact, &listed); err != nil {
		return err
	}
	drops, err := t.toClean(ctx, entries)
	if err != nil {
		return err
	}
	return t.drop(ctx, slices.DeleteFunc(drops, func(d dropped) bool { return !slices.Contains(listed, d) }))
}

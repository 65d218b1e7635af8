package mytarget

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/pgmove/pgmove/internal/mysession"
	"github.com/pgmove/pgmove/stream"
)

// sessionsBeside is how many sessions a restore opens beside two for each job: what holds the lock, what looks into a commit that was cut off,
// and two that validate beside their workers.
const sessionsBeside = 4

// room looks at connections and at what else writes there.
func (c *checking) room(ctx context.Context) error {
	room, err := c.q.Room(ctx)
	if err != nil {
		return err
	}
	c.clock = room.Clock
	jobs := max(c.opts.Sessions/2, 1)
	if need := 3*jobs + sessionsBeside; room.Connections < need {
		c.found.Add("target-connections", fmt.Sprintf("the server takes %d more connections from this account, a restore with its validation opens up to %d", max(room.Connections, 0), need),
			"use fewer --jobs, end idle sessions, or raise max_connections or the account's limit")
	}
	rows, err := c.q.Rows(ctx, "SHOW GLOBAL STATUS WHERE Variable_name = 'Slaves_running' AND Value <> '0'") // MariaDB's
	if err != nil {
		return err
	}
	if len(rows) > 0 {
		c.found.Add("target-replica", "the server is a replica, and applies what another server's binary log tells it: that may collide with what is moved", "name the primary, or STOP SLAVE; RESET SLAVE if it is to stand alone")
	}
	if c.is["event_scheduler"] == "ON" && len(c.needs.Running) > 0 {
		c.found.Add("events-will-run", "the event scheduler is on: these events run as soon as they are made, while the rows are compared: "+stream.First(c.needs.Running),
			"SET GLOBAL event_scheduler = OFF there until the move has ended, or disable the events on the source: else they run on both, and what they change is a mismatch")
	}
	return nil
}

func (c *checking) number(name string) int64 {
	n, err := strconv.ParseInt(c.is[name], 10, 64)
	if err != nil {
		return -1
	}
	return n
}

// settings notes those that make a restore slow, or its result unsafe.
func (c *checking) settings(context.Context) error {
	if c.is["log_bin"] == "ON" {
		c.found.Add("slow-binary-log", "log_bin is on: all that is loaded is written to the binary log too, and to its replicas, each chunk in one piece", "nothing where that is needed; see that its disk has room, and when it expires")
	}
	if n := c.number("innodb_buffer_pool_size"); n >= 0 && n < 1<<30 {
		c.found.Add("slow-buffer-pool", fmt.Sprintf("innodb_buffer_pool_size is %d MiB: indexes that are larger are built and read from disk", n>>20), "set it to half of the machine's memory or more, if that is the server's alone")
	}
	name, redo := "innodb_redo_log_capacity", c.number("innodb_redo_log_capacity")
	if redo < 0 {
		name, redo = "innodb_log_file_size", c.number("innodb_log_file_size")
	}
	if redo >= 0 && redo < 1<<30 {
		c.found.Add("slow-redo-log", fmt.Sprintf("%s is %d MiB: a large load waits for pages to be written to disk", name, redo>>20), "set it to 2 GiB or more while the move goes on")
	}
	var off []string
	if v, known := c.is["innodb_flush_log_at_trx_commit"]; known && v != "1" {
		off = append(off, "innodb_flush_log_at_trx_commit is "+v+", and a crash may lose the last second's commits")
	}
	if c.is["innodb_doublewrite"] == "OFF" {
		off = append(off, "innodb_doublewrite is off, and a crash may destroy tables")
	}
	if len(off) > 0 {
		c.found.Add("durability-off", strings.Join(off, "; "), "a load is faster so; set innodb_flush_log_at_trx_commit = 1 and innodb_doublewrite = ON after the move at the latest")
	}
	return nil
}

// differences notes where source and target are not alike.
func (c *checking) differences(context.Context) error {
	if !c.whole {
		return nil
	}
	src := mysession.Version{MariaDB: strings.Contains(strings.ToLower(c.needs.Source.Version), "mariadb"), Num: c.needs.Source.VersionNum, Text: c.needs.Source.Version}
	if why := older(src, c.q.Version); why != "" {
		c.found.Add("older-target", why, "move to a server of the source's kind, of its version or newer")
	}
	was := c.needs.Settings
	if a, b := was["lower_case_table_names"], c.is["lower_case_table_names"]; a != b {
		c.found.Add("name-case-differs", fmt.Sprintf("lower_case_table_names is %s on the source and %s on the target: programs and applications that write names in another case than the tables' may not find them, or find others", a, b),
			"create the server with the source's setting, or see that all write names as they are")
	}
	var differ []string
	for _, name := range []string{"sql_mode", "time_zone", "event_scheduler", "character_set_server", "collation_server", "max_allowed_packet", "explicit_defaults_for_timestamp", "tx_isolation", "transaction_isolation"} {
		a, known := was[name]
		b, here := c.is[name]
		if name == "time_zone" && a == b {
			name, a, b = "system_time_zone", was["system_time_zone"], c.is["system_time_zone"]
			known = known && c.is["time_zone"] == "SYSTEM"
		}
		if known && here && a != b {
			differ = append(differ, fmt.Sprintf("%s %q and %q", name, stream.Text(a).Display(), stream.Text(b).Display()))
		}
	}
	if len(differ) > 0 {
		c.found.Add("settings-differ", "applications will meet other settings than on the source: "+strings.Join(differ, ", ")+"; rows arrive the same", "set them as on the source before applications move")
	}
	if len(c.needs.Namers) > 0 && string(c.needs.Source.Database) != c.conn.Database() {
		c.found.Add("programs-name-database", fmt.Sprintf("programs that name their own database, %s, go on naming it: %s", c.needs.Source.Database.Display(), stream.First(c.needs.Namers)),
			"move to a database of the same name, or mend them after the move")
	}
	if a, b := integer(was["innodb_page_size"]), c.number("innodb_page_size"); b > 0 && b < a {
		c.found.Add("page-size-smaller", fmt.Sprintf("innodb_page_size is %d KiB on the source and %d KiB on the target: tables whose rows or keys are too long for it are refused", a>>10, b>>10), "create the server with the source's page size")
	}
	return nil
}

func integer(s string) int64 {
	n, _ := strconv.ParseInt(s, 10, 64)
	return n
}

// older says what a target of such a version may not take from a source, "" for one of the same kind that is as new.
func older(from, to mysession.Version) string {
	switch {
	case from.MariaDB != to.MariaDB:
		return fmt.Sprintf("the source is %s, the target %s: nothing is translated, and what only the source knows ends the restore", from.Name(), to.Name())
	case from.Num/10000 > to.Num/10000:
		return fmt.Sprintf("the source is %s, the target %s: what is new in between the target refuses, and that ends the restore", from.Name(), to.Name())
	}
	return ""
}

package mysession

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Room is what a server has left for a session's account.
type Room struct {
	// Connections is how many more the account may open.
	Connections int
	// Clock is by how much the server's clock is ahead of this machine's.
	Clock time.Duration
}

// Room asks for it.
func (s *Session) Room(ctx context.Context) (Room, error) {
	asked := time.Now()
	row, err := s.Row(ctx, "SELECT UNIX_TIMESTAMP(NOW(6)), @@GLOBAL.max_connections, @@SESSION.max_user_connections, (SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER = SUBSTRING_INDEX(USER(), '@', 1))")
	if err != nil {
		return Room{}, err
	}
	took := time.Since(asked)
	status, err := s.Rows(ctx, "SHOW GLOBAL STATUS WHERE Variable_name = 'Threads_connected'")
	if err != nil {
		return Room{}, err
	}
	epoch, _ := strconv.ParseFloat(row[0], 64)
	var n [3]int
	for i := range n {
		n[i], _ = strconv.Atoi(row[i+1])
	}
	used := 0
	if len(status) == 1 {
		used, _ = strconv.Atoi(status[0][1])
	}
	r := Room{Connections: n[0] - used, Clock: time.UnixMicro(int64(epoch * 1e6)).Sub(asked.Add(took / 2))}
	if own := n[1] - n[2]; n[1] > 0 && own < r.Connections {
		r.Connections = own
	}
	return r, nil
}

// asked are the server's settings that Settings reads.
var asked = []string{"log_bin", "sql_mode", "time_zone", "system_time_zone", "character_set_server", "collation_server", "lower_case_table_names", "max_allowed_packet",
	"event_scheduler", "innodb_page_size", "innodb_buffer_pool_size", "innodb_log_file_size", "innodb_redo_log_capacity", "innodb_flush_log_at_trx_commit", "innodb_doublewrite",
	"innodb_force_primary_key", "sql_require_primary_key", "sql_generate_invisible_primary_key", "explicit_defaults_for_timestamp", "tx_isolation", "transaction_isolation"}

// Settings are the server's own, by their names in lower case; those that it doesn't know are left out.
func (s *Session) Settings(ctx context.Context) (map[string]string, error) {
	quoted := slices.Clone(asked)
	for i := range quoted {
		quoted[i] = Literal(quoted[i])
	}
	rows, err := s.Rows(ctx, "SHOW GLOBAL VARIABLES WHERE Variable_name IN ("+strings.Join(quoted, ", ")+")")
	if err != nil {
		return nil, err
	}
	is := make(map[string]string, len(rows))
	for _, r := range rows {
		is[strings.ToLower(r[0])] = r[1]
	}
	return is, nil
}

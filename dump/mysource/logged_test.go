package mysource

import "testing"

func TestLogged(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		is   map[string]string
		want bool
	}{
		{map[string]string{"log_slave_updates": "OFF", "wsrep_on": "OFF", "slaves_running": "0"}, true},
		{map[string]string{"log_slave_updates": "OFF", "slaves_running": "1"}, false},
		{map[string]string{"log_slave_updates": "ON", "slaves_running": "2", "wsrep_on": "ON"}, true},
		{map[string]string{"log_slave_updates": "OFF", "wsrep_on": "ON"}, false},
		{map[string]string{"log_slave_updates": "ON", "binlog_do_db": "a"}, false},
		{map[string]string{"log_slave_updates": "ON", "binlog_ignore_db": "a"}, false},
	} {
		if logged(c.is) != c.want {
			t.Errorf("%v: %v", c.is, !c.want)
		}
	}
}

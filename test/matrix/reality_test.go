package matrix

import "sync"

// reality is what peers that the project did not write have done with each
// other, through the gateway.
type reality struct {
	mu  sync.Mutex                     // guards did
	did map[string]map[string][]string // by client, then by server
}

func newReality() *reality { return &reality{did: map[string]map[string][]string{}} }

// note adds what a client has done, by server.
func (r *reality) note(client string, did map[string][]string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.did[client] == nil {
		r.did[client] = map[string][]string{}
	}
	for server, steps := range did {
		r.did[client][server] = append(r.did[client][server], steps...)
	}
}

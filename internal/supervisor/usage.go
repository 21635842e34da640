package supervisor

import "time"

// Usage is what a process and its descendants use.
type Usage struct {
	Processes int
	RSSBytes  int64         // sum of resident memory; pages that they share count for each
	CPU       time.Duration // of the living, and of those of their children that ended; it falls when one of them ends
}

// proc is one living process as the kernel tells it.
type proc struct {
	pid, parent, group int
	rss                int64         // bytes
	cpu                time.Duration // own and of children waited for
}

// table is the living processes of the machine at one moment.
type table struct {
	procs  map[int]proc
	guard  int // the process that orphans come back to; 0 when there is none
	marked func(pid int) uint64
}

// branches returns the living processes below pid, by the child of pid that they descend from. The lists contain that
// child itself if it is alive.
func (t table) branches(pid int) map[int][]int {
	roots := make(map[int]int, len(t.procs)) // process to child of pid; 0 for those elsewhere
	branches := make(map[int][]int)
	for id := range t.procs {
		if root := t.root(id, pid, roots); root != 0 {
			branches[root] = append(branches[root], id)
		}
	}
	return branches
}

// root finds the child of top that id descends from, 0 when it is not below top. known holds answers found before. The
// table is not read in one moment, so a circle is possible in theory; the loop is bounded for it.
func (t table) root(id, top int, known map[int]int) int {
	root, at := 0, id
	for range len(t.procs) {
		if r, ok := known[at]; ok {
			root = r
			break
		}
		p, ok := t.procs[at]
		if !ok || at == top {
			break
		}
		if p.parent == top {
			root = at
			break
		}
		at = p.parent
	}
	known[id] = root
	return root
}

// usage sums up what belongs to k: its tree, and the orphans of its that came back to the guard.
func (t table) usage(k *task) Usage {
	var u Usage
	add := func(pids []int) {
		for _, pid := range pids {
			p := t.procs[pid]
			u.Processes++
			u.RSSBytes += p.rss
			u.CPU += p.cpu
		}
	}
	if t.guard == 0 {
		if _, ok := t.procs[k.pid]; ok {
			add([]int{k.pid})
		}
		for _, pids := range t.branches(k.pid) {
			add(pids)
		}
		return u
	}
	for root, pids := range t.branches(t.guard) {
		if root == k.pid || k.mark != 0 && t.marked(root) == k.mark {
			add(pids)
		}
	}
	return u
}

//go:build !linux

package supervisor

// newSpawner is the best way of starting children on this system; see the package comment for what it does not promise.
func newSpawner() spawner { return &direct{} }

// ShimMain must be the first call of a program that supervises, with os.Args. On this system there is nothing for it to
// do: children are started directly.
func ShimMain([]string) {}

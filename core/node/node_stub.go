package node

// Node is one server's logic.
type Node struct{}

// New opens a node on what the store holds (nil for an empty one). The Output is
// that of a step. It fails if the image cannot be understood.
func New(cfg Config, img Image, now Now) (*Node, Output, error) { panic("not yet") }

// Step takes one input and says what is to be done.
func (n *Node) Step(now Now, in Input) Output { panic("not yet") }

// View makes a picture of the node.
func (n *Node) View(now Now) View { panic("not yet") }

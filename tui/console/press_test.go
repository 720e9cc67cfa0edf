package console

import tea "charm.land/bubbletea/v2"

var named = map[string]rune{"enter": tea.KeyEnter, "esc": tea.KeyEscape, "tab": tea.KeyTab, "left": tea.KeyLeft, "right": tea.KeyRight, "up": tea.KeyUp, "down": tea.KeyDown, "backspace": tea.KeyBackspace}

// press sends a key and returns the command that came of it.
func press(m *model, k string) tea.Cmd {
	var msg tea.KeyPressMsg
	if c, ok := named[k]; ok {
		msg = tea.KeyPressMsg{Code: c}
	} else if k == "ctrl+r" {
		msg = tea.KeyPressMsg{Code: 'r', Mod: tea.ModCtrl}
	} else {
		r := []rune(k)[0]
		msg = tea.KeyPressMsg{Code: r, Text: k}
	}
	_, cmd := m.Update(msg)
	return cmd
}

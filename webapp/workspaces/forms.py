"""Forms of the workspace page."""

from django import forms

from webapp.workspaces.choices import MemberRole


class WorkspaceForm(forms.Form):
    name = forms.CharField(max_length=80, error_messages={"required": "A workspace needs a name."})


class MemberForm(forms.Form):
    email = forms.EmailField(
        error_messages={
            "required": "Write the e-mail address of the person's account.",
            "invalid": "This is not an e-mail address; it looks like ada@example.org.",
        }
    )
    role = forms.ChoiceField(choices=MemberRole.choices, initial=MemberRole.EDITOR)

"""Forms of the account page."""

from django import forms

LIFETIMES = [("30", "30 days"), ("90", "90 days"), ("365", "One year"), ("", "Never expires")]


class DisplayNameForm(forms.Form):
    display_name = forms.CharField(required=False, max_length=80)


class TokenForm(forms.Form):
    name = forms.CharField(
        max_length=80, error_messages={"required": "Give the token a name, so that you know later what it is for."}
    )
    days = forms.TypedChoiceField(choices=LIFETIMES, coerce=int, empty_value=None, required=False, initial="90")

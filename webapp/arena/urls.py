from django.urls import path, register_converter

from webapp.arena import views


class LeagueActionConverter:
    regex = "play|refresh|idle|archive"

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value


register_converter(LeagueActionConverter, "league_action")

urlpatterns = [
    path("", views.arena, name="arena"),
    path("leagues/new/", views.new_league, name="new_league"),
    path("leagues/<uuid:league_id>/", views.league, name="league"),
    path("leagues/<uuid:league_id>/vote/", views.vote, name="vote"),
    path("leagues/<uuid:league_id>/<league_action:action>/", views.league_action, name="league_action"),
    path("leagues/<uuid:league_id>/pairs/<int:one>/<int:other>/", views.pair, name="pair"),
    path("votes/<int:vote_id>/", views.cast_vote, name="cast_vote"),
    path("meetings/<int:meeting_id>/games/<int:number>/", views.game, name="game"),
    path("meetings/<int:meeting_id>/games/<int:number>/swap/", views.game_swap, name="game_swap"),
    path("duels/<uuid:run_id>/<int:seq>/", views.duel, name="duel"),
    path("duels/<uuid:run_id>/<int:seq>/swap/", views.duel_swap, name="duel_swap"),
    path("exports/<uuid:run_id>/<int:step>/", views.export, name="export"),
    path("playground/", views.playground, name="playground"),
    path("playground/say/", views.say, name="playground_say"),
    path("playground/answers/<uuid:job_id>/", views.answers, name="playground_answers"),
]
